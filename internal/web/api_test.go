package web_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"messaging_api/internal/api"
)

// The types of package api are what the service says and understands: each answer
// is read into its type without a member left over or missing.
func TestAPITypes(t *testing.T) {
	s := newService(limits)
	body, err := json.Marshal(api.Creation{Message: "hello <b>&\u2028", TTL: 60})
	if err != nil {
		t.Fatal(err)
	}
	var created api.Created
	decodeExactly(t, s.ask("POST", "/", fields("Content-Type", typeJSON), bytes.NewReader(body)), &created)
	path := strings.TrimPrefix(created.URL, "https://example.com")
	var message api.Message
	decodeExactly(t, s.ask("GET", path, nil, nil), &message)
	if message.Message != "hello <b>&\u2028" || path != "/msg/"+created.MessageID || !message.ExpiresAt.Equal(created.ExpiresAt) {
		t.Errorf("created %+v, read %+v", created, message)
	}
	decodeExactly(t, s.ask("GET", "/", nil, nil), new(api.Description))
	var problem api.Problem
	decodeExactly(t, s.ask("GET", "/msg/x", nil, nil), &problem)
	if problem.Status != http.StatusNotFound {
		t.Errorf("got %+v, want a 404", problem)
	}
}

// decodeExactly reads an answer into a value that has the answer's members and no others.
func decodeExactly(t *testing.T, a answer, value any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		t.Fatalf("%T: %v: %s", value, err, a.body)
	}
	again, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	members := func(text []byte) (m map[string]any) {
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	if got, want := len(members(again)), len(members([]byte(a.body))); got != want {
		t.Errorf("%T has %d members, the answer %d: %s", value, got, want, a.body)
	}
}
