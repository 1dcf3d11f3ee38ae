package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"messaging_api/internal/api"
)

// What curl -F, curl -T, wget --post-file and curl -d send is refused with a
// command that works as it stands, for the file that was meant.
func TestRefusalsNameWhatWorks(t *testing.T) {
	need(t, "curl")
	need(t, "wget")
	s := start(t)
	file := filepath.Join(t.TempDir(), "notes.txt")
	const text = "100% of this & that; +1 = ünchanged\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	root := "https://" + s.address + "/"
	const curl, wget = "curl --silent --insecure ", "wget --no-check-certificate "
	for name, command := range map[string]string{
		"curl -F":                   curl + "-F message=@" + file + " " + root,
		"curl -F, raw":              curl + "-F file=@" + file + " " + root,
		"curl -T":                   curl + "-T " + file + " " + root,
		"curl -T from standard in":  curl + "-T - " + root + " < " + file,
		"curl -T to the very URL":   curl + "-X PUT --data-binary @" + file + " " + root,
		"curl -d":                   curl + "-d 'hello world' " + root,
		"curl --data-binary":        curl + "--data-binary @" + file + " " + root,
		"wget --post-file":          wget + "--content-on-error -qO- --post-file=" + file + " " + root,
		"a type that is not ours":   curl + "-H 'Content-Type: text/html' --data-binary @" + file + " " + root,
		"a charset that is not one": curl + "-H 'Content-Type: text/plain; charset=latin1' --data-binary @" + file + " " + root,
	} {
		out, _ := exec.CommandContext(t.Context(), "sh", "-c", command).Output() // wget fails as it should
		var problem api.Problem
		if err := json.Unmarshal(out, &problem); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
			continue
		}
		_, hint, found := strings.Cut(problem.Detail, "To send a file as it is: ")
		program, _, _ := strings.Cut(command, " ")
		if !found || !strings.HasPrefix(hint, program+" ") {
			t.Errorf("%s: %q names no command of %s", name, problem.Detail, program)
			continue
		}
		hint = strings.ReplaceAll(hint, "FILE", file)
		hint = strings.Replace(strings.Replace(hint, "curl ", curl, 1), "wget ", wget, 1)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", hint).Output()
		var created api.Created
		if err != nil || json.Unmarshal(out, &created) != nil {
			t.Errorf("%s: %q: %v: %s", name, hint, err, out)
			continue
		}
		if status, got, err := s.get(client(1), created.URL); err != nil || status != http.StatusOK || got != text {
			t.Errorf("%s: the stored text is %d %q, %v, want %q", name, status, got, err, text)
		}
	}
}

// Node's fetch of a JSON string without a type gets an answer that names what is missing, and works
// with it.
func TestFetchedJSON(t *testing.T) {
	need(t, "node")
	s := start(t)
	script := `
const ask = async (headers) => {
  const answer = await fetch("https://` + s.address + `/", {method: "POST", headers, body: JSON.stringify({message: "hello"})});
  return answer.status + " " + await answer.text();
};
(async () => { for (const h of [undefined, {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}]) console.log(await ask(h)); })();
`
	node := exec.CommandContext(t.Context(), "node", "-e", script)
	node.Env = append(os.Environ(), "NODE_TLS_REJECT_UNAUTHORIZED=0")
	out, err := node.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderrOf(err))
	}
	var statuses []string
	for line := range strings.Lines(string(out)) {
		if line != "\n" && !strings.HasPrefix(line, "\n") {
			statuses = append(statuses, line[:3])
		}
	}
	if got := strings.Join(statuses, " "); got != "400 200 200" || !strings.Contains(string(out), "set Content-Type: application/json") {
		t.Errorf("got %q, want 400 with the type that is missing, then 200 and 200", out)
	}
}

// Links and redirects begin with the public URL, also when a proxy asks for another host; its
// host is served too.
func TestPublicURL(t *testing.T) {
	s := start(t, "--tls=off", "--trusted-proxy=127.0.0.1/32", "--host=backend", "--public-url=https://MSG.example:8443/notes/", "--listen-http=127.0.0.1:0")
	for host, want := range map[string]int{"backend": 200, "msg.example": 200, "msg.example:8443": 200, "other.example": 421} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+"/", strings.NewReader(`{"message":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		const begin = "https://msg.example:8443/notes/msg/"
		if link := answer.Header.Get("Location"); answer.StatusCode != want || want == 200 && !strings.HasPrefix(link, begin) {
			t.Errorf("Host %s: got %d, Location %q, want %d and a link that begins with %s", host, answer.StatusCode, link, want, begin)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.http+"/msg/x?y", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if got, want := answer.Header.Get("Location"), "https://msg.example:8443/notes/msg/x?y"; answer.StatusCode != http.StatusPermanentRedirect || got != want {
		t.Errorf("plain HTTP: got %d to %q, want 308 to %q", answer.StatusCode, got, want)
	}
}

// stderrOf returns what a command that failed has said.
func stderrOf(err error) string {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(e.Stderr)
	}
	return ""
}
