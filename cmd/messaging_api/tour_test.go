package main

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
)

// document returns a file of the repository.
func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns a document's code blocks in that language.
func blocks(t *testing.T, name, language string) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(document(t, name), -1) {
		found = append(found, match[1])
	}
	return found
}

// onlyBlock returns the document's one code block in that language.
func onlyBlock(t *testing.T, name, language string) string {
	t.Helper()
	found := blocks(t, name, language)
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks in %s, want 1", name, len(found), language)
	}
	return found[0]
}

// The README is short enough for a newcomer.
func TestReadmeIsShort(t *testing.T) {
	if lines := strings.Count(document(t, "README.md"), "\n"); lines > 150 {
		t.Errorf("README.md has %d lines, want at most 150", lines)
	}
}

// Each relative link and picture in the documents points to a file, and to a heading
// where it names one.
func TestDocumentsLinkToWhatExists(t *testing.T) {
	names := []string{"README.md", "certs/README.md"}
	more, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range more {
		names = append(names, "docs/"+filepath.Base(name))
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	found := 0
	for _, name := range names {
		for _, match := range link.FindAllStringSubmatch(document(t, name), -1) {
			target, fragment, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") {
				continue // another site's
			}
			found++
			if target = path.Join(path.Dir(name), target); strings.HasPrefix(match[1], "#") {
				target = name
			}
			if _, err := os.Stat(filepath.Join("../..", target)); err != nil {
				t.Errorf("%s links to %s: %v", name, match[1], err)
				continue
			}
			if fragment != "" && !slices.Contains(anchors(document(t, target)), fragment) {
				t.Errorf("%s links to %s, but %s has no such heading", name, match[1], target)
			}
		}
	}
	if found < 10 {
		t.Errorf("found %d links in %v", found, names)
	}
}

// anchors returns the names by which a document's headings are linked to.
func anchors(text string) []string {
	var found []string
	for _, match := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(match[1]), "")
		found = append(found, strings.ReplaceAll(name, " ", "-"))
	}
	return found
}

// docs/TESTING.md names each script that tests something.
func TestEachTestScriptIsExplained(t *testing.T) {
	text := document(t, "docs/TESTING.md")
	scripts, err := filepath.Glob("../../scripts/test*")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	for _, script := range scripts {
		info, err := os.Stat(script)
		if err != nil {
			t.Fatal(err)
		}
		if name := "`scripts/" + filepath.Base(script) + "`"; !info.IsDir() && !strings.Contains(text, name) {
			t.Errorf("docs/TESTING.md does not explain %s", name)
		}
	}
}

// docs/DESIGN.md says of each library why it is there.
func TestEachDependencyIsExplained(t *testing.T) {
	text := document(t, "docs/DESIGN.md")
	direct, _, _ := strings.Cut(document(t, "go.mod"), "// indirect")
	libraries := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(direct, -1)
	if len(libraries) < 5 {
		t.Fatalf("go.mod requires %d libraries", len(libraries))
	}
	for _, library := range libraries {
		if !strings.Contains(text, "`"+library[1]+"`") {
			t.Errorf("docs/DESIGN.md does not explain %s", library[1])
		}
	}
}

// The README's tour works as it is printed, but for the port: pasted into one shell, it
// fails nowhere and prints what the text says.
func TestTour(t *testing.T) {
	need(t, "curl")
	tour := blocks(t, "README.md", "sh")
	if len(tour) < 2 || !strings.HasSuffix(tour[0], "\ngo run ./cmd/messaging_api\n") {
		t.Fatalf("README.md does not begin with the start of the service and a tour: %q", tour)
	}
	s := startLimited(t)
	_, port, _ := strings.Cut(s.address, ":")
	script := strings.ReplaceAll(strings.Join(tour[1:], ""), "https://localhost:8443", "https://localhost:"+port)
	shell := exec.CommandContext(t.Context(), "bash", "-e", "-u", "-o", "pipefail")
	shell.Dir, shell.Stdin = t.TempDir(), strings.NewReader(script)
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, stderrOf(err))
	}
	notes, err := os.ReadFile(filepath.Join(shell.Dir, "notes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	rest := string(out)
	for _, want := range []string{
		"https://localhost:" + port + "/msg/", `"message":"The door code is 4711."`, "\n" + string(notes),
		`"reads_left":1`, `"message":"Only once."`, `"status":410`,
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("the tour prints\n%s\nwant %q in its place", out, want)
		}
		rest = after
	}
}

// The programs that run starts trust the certificate of a trusting service.
type trusting struct {
	*service
	cert string
}

func startTrusting(t *testing.T, args ...string) trusting {
	t.Helper()
	pair := tlscert.Pair{Cert: filepath.Join(t.TempDir(), "cert.pem"), Key: filepath.Join(t.TempDir(), "key.pem")}
	selfIssuedFor(t, pair, "localhost", 1, time.Now().Add(time.Hour))
	return trusting{startLimited(t, append(args, "--tls=files", "--tls-cert="+pair.Cert, "--tls-key="+pair.Key)...), pair.Cert}
}

// run has a program read a script that the README shows, and returns what it prints.
func (s trusting) run(script, program string, args ...string) string {
	s.t.Helper()
	need(s.t, program)
	_, port, _ := strings.Cut(s.address, ":")
	command := exec.CommandContext(s.t.Context(), program, args...)
	command.Stdin = strings.NewReader(strings.ReplaceAll(script, "msg.example.org", "localhost:"+port))
	command.Env = append(os.Environ(), "SSL_CERT_FILE="+s.cert, "CURL_CA_BUNDLE="+s.cert, "NODE_EXTRA_CA_CERTS="+s.cert)
	out, err := command.Output()
	if err != nil {
		s.t.Fatalf("%s %s: %v: %s", program, script, err, stderrOf(err))
	}
	return string(out)
}

// The README begins with a message that is posted and read. The answers have the members
// that it shows.
func TestReadmeBeginning(t *testing.T) {
	s := startTrusting(t)
	lines := strings.Split(blocks(t, "README.md", "")[0], "\n")
	id := regexp.MustCompile(`[0-9a-f-]{36}`)
	shown := id.FindString(lines[1])
	created := s.run(lines[0], "bash", "-e")
	read := s.run(strings.ReplaceAll(lines[2], shown, id.FindString(created)), "bash", "-e")
	for i, got := range map[int]string{1: created, 3: read} {
		if got, want := shape(t, got), shape(t, lines[i]); got != want {
			t.Errorf("%s: got %s, want %s", lines[i-1], got, want)
		}
	}
}

// The README's programs work. Those that retry also work after a creation that leaves
// nothing of the budget.
func TestReadmePrograms(t *testing.T) {
	const text = "Hello!\n"
	s := startTrusting(t)
	if got := s.run(onlyBlock(t, "README.md", "js"), "node", "--input-type=module"); got != text {
		t.Errorf("JavaScript: got %q, want %q", got, text)
	}
	s = startTrusting(t, "--limit-create=1/s:1")
	if _, err := s.post(client(2), "x"); err != nil {
		t.Fatal(err)
	}
	if got := s.run(onlyBlock(t, "README.md", "python"), "python3"); got != text {
		t.Errorf("Python: got %q, want %q", got, text)
	}
	curl := regexp.MustCompile("`(curl --retry [^`]+)`").FindStringSubmatch(document(t, "README.md"))
	if curl == nil {
		t.Fatal("README.md shows no curl that retries")
	}
	if got := s.run(curl[1], "bash", "-e"); !strings.Contains(got, `"status":200`) {
		t.Errorf("%s: got %s", curl[1], got)
	}
}
