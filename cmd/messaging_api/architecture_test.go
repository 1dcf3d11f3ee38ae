package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A goPackage is what `go list -json` tells about one of ours.
type goPackage struct {
	ImportPath string
	Name       string
	Dir        string
	Doc        string
	GoFiles    []string
	Imports    []string
}

const module = "messaging_api"

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Dir,Doc,GoFiles,Imports", "./...")
	command.Dir = "../.."
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// Imports are two deep: cmd → everything; web → message and api; store → message;
// the others know only libraries.
func TestImportGraph(t *testing.T) {
	allowed := map[string][]string{
		"internal/api":     {},
		"internal/flags":   {},
		"internal/limit":   {},
		"internal/link":    {},
		"internal/logfile": {},
		"internal/message": {},
		"internal/ops":     {},
		"internal/page":    {},
		"internal/store":   {"internal/message"},
		"internal/tlscert": {},
		"internal/web":     {"internal/api", "internal/message"},
		// For scripts/test-deploy, which runs it against the real program.
		"scripts/testdeploy/acked":      {},
		"scripts/testdeploy/firewalled": {},
		// For scripts/test-failover.
		"scripts/failover": {"internal/api"},
		// For scripts/test-page.
		"scripts/pagetest/agefile": {"internal/link"},
	}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if strings.HasPrefix(name, "cmd/") {
			continue
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("package %s: has no place in the tree; decide what it may import", name)
		}
		for _, path := range p.Imports {
			ours, found := strings.CutPrefix(path, module+"/")
			if found && !slices.Contains(may, ours) {
				t.Errorf("package %s imports %s, may import %v", name, ours, may)
			}
		}
	}
}

// The domain is at the root of the graph and knows nothing of its surroundings.
func TestMessageKnowsOnlyTheStandardLibraryAndUUIDs(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.ImportPath != module+"/internal/message" {
			continue
		}
		for _, path := range p.Imports {
			if strings.Contains(path, ".") && path != "github.com/google/uuid" {
				t.Errorf("internal/message imports %s", path)
			}
		}
		return
	}
	t.Fatal("internal/message is gone")
}

func TestPackageComments(t *testing.T) {
	for _, p := range listPackages(t) {
		start := "Package " + p.Name + " "
		if p.Name == "main" {
			start = "Command " + filepath.Base(p.Dir) + " "
		}
		if !strings.HasPrefix(p.Doc, start) {
			t.Errorf("package %s: doc comment is %q, want it to start %q", p.ImportPath, p.Doc, start)
		}
	}
}

// No foreign sentinel crosses store: its exported surface, but for the options
// of its constructors, names only the standard library and message.
func TestStoreHidesItsLibraries(t *testing.T) {
	files, err := filepath.Glob("../../internal/store/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("internal/store: %v", err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, ident := range exportedErrors(file) {
			t.Errorf("%s exports %s: the package's errors are message's", name, ident)
		}
	}
}

// exportedErrors returns a file's exported variables and types that are named as
// errors are.
func exportedErrors(file *ast.File) []string {
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		var names []*ast.Ident
		switch n := n.(type) {
		case *ast.FuncDecl:
			return false
		case *ast.ValueSpec:
			names = n.Names
		case *ast.TypeSpec:
			names = []*ast.Ident{n.Name}
		}
		for _, name := range names {
			if name.IsExported() && (strings.HasPrefix(name.Name, "Err") || strings.HasSuffix(name.Name, "Error")) {
				found = append(found, name.Name)
			}
		}
		return true
	})
	return found
}
