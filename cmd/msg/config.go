package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"messaging_api/internal/flags"
)

// configFile returns the path of the configuration file, or "" where there is no
// home.
func configFile(env []string) string {
	return underHome(env, "XDG_CONFIG_HOME", ".config", "config")
}

// stateDirectory returns where owner tokens and claims are kept, or "".
func stateDirectory(env []string) stateDir {
	return stateDir(underHome(env, "XDG_STATE_HOME", filepath.Join(".local", "state"), ""))
}

// underHome returns msg/name in the directory that a variable names, or else in a
// directory of the home.
func underHome(env []string, variable, directory, name string) string {
	values := make(map[string]string, len(env))
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	// The XDG specification ignores relative paths.
	if dir := values[variable]; filepath.IsAbs(dir) {
		return filepath.Join(dir, "msg", name)
	}
	for _, home := range []string{values["HOME"], values["USERPROFILE"]} { // the second on Windows
		if home != "" {
			return filepath.Join(home, directory, "msg", name)
		}
	}
	return ""
}

// readConfig sets the settings that are still open from lines of the form
// "name = value". A file that is missing is an empty one.
func readConfig(name string, settings *pflag.FlagSet) error {
	if name == "" {
		return nil
	}
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		flag := settings.Lookup(strings.TrimSpace(key))
		if flag == nil {
			return fmt.Errorf("%s, line %d: must be server, ca, pin, timeout, wait or token, then = and a value", name, i+1)
		}
		if flag.Changed {
			continue
		}
		if err := settings.Set(flag.Name, strings.TrimSpace(value)); err != nil {
			return fmt.Errorf("%s, line %d: %w", name, i+1, flags.Explain(err))
		}
	}
	return nil
}
