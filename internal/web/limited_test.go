package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"messaging_api/internal/api"
	"messaging_api/internal/message"
)

const claimA, claimB = "claim-A-0123456789", "claim-B-0123456789"

// proofOf returns a proof and its hash, as clients write them.
func proofOf(name string) (proof, hash string) {
	p := sha256.Sum256([]byte(name))
	h := sha256.Sum256(p[:])
	return base64.RawURLEncoding.EncodeToString(p[:]), base64.RawURLEncoding.EncodeToString(h[:])
}

// createLimited creates a message and returns its path and its owner token.
func (s *service) createLimited(t *testing.T, body string) (path, token string) {
	t.Helper()
	a := s.ask("POST", "/", nil, strings.NewReader(body))
	var created api.Created
	if err := json.Unmarshal([]byte(a.body), &created); err != nil || a.StatusCode != http.StatusOK || len(created.OwnerToken) != 22 {
		t.Fatalf("POST %s: %d %s", body, a.StatusCode, a.body)
	}
	return "/msg/" + created.MessageID, created.OwnerToken
}

// members returns the names in a JSON object, and its values.
func membersOf(t *testing.T, a answer) (names []string, values map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &values); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return slices.Sorted(maps.Keys(values)), values
}

// expectGone is expectProblem for a 410, which has more members.
func expectGone(t *testing.T, a answer, words string) {
	t.Helper()
	if a.StatusCode != http.StatusGone || a.Header.Get("Content-Type") != typeProblem || !strings.Contains(a.body, words) {
		t.Errorf("got %d %s %q, want a 410 with %q", a.StatusCode, a.Header.Get("Content-Type"), a.body, words)
	}
}

func TestLimitedMessage(t *testing.T) {
	s := newService(limits)
	proof, hash := proofOf("p")
	path, _ := s.createLimited(t, `{"message":"hello","reads":2,"proof_hash":"`+hash+`"}`)
	open := func(claim string) answer {
		return s.ask("POST", path, nil, strings.NewReader(`{"proof":"`+proof+`","claim":"`+claim+`"}`))
	}
	state := s.ask("GET", path, nil, nil)
	names, values := membersOf(t, state)
	if state.StatusCode != http.StatusOK || !slices.Equal(names, []string{"expires_at", "opened", "reads_left", "status"}) || values["reads_left"] != 2.0 || fmt.Sprint(values["opened"]) != "[]" {
		t.Errorf("the state before: %d %s", state.StatusCode, state.body)
	}
	first := open(claimA)
	if names, values = membersOf(t, first); first.StatusCode != http.StatusOK || values["message"] != "hello" || values["reads_left"] != 1.0 || len(names) != 5 {
		t.Errorf("the first opening: %d %s", first.StatusCode, first.body)
	}
	second := open(claimB)
	if _, values = membersOf(t, second); second.StatusCode != http.StatusOK || values["reads_left"] != 0.0 || len(values["opened"].([]any)) != 1 {
		t.Errorf("the second opening: %d %s", second.StatusCode, second.body)
	}
	if again := open(claimA); again.body != first.body {
		t.Errorf("claim A again: %d %s, want %s", again.StatusCode, again.body, first.body)
	}
	for name, a := range map[string]answer{"GET": s.ask("GET", path, nil, nil), "another claim": open("claim-C-0123456789")} {
		expectGone(t, a, "opened")
		if _, values = membersOf(t, a); len(values["opened"].([]any)) != 2 {
			t.Errorf("%s after the last opening: %s, want two times", name, a.body)
		}
	}
	text := s.ask("POST", path, fields("Accept", "text/plain"), strings.NewReader(`{"proof":"`+proof+`","claim":"`+claimB+`"}`))
	if text.StatusCode != http.StatusOK || text.body != "hello" {
		t.Errorf("claim B as text: %d %q", text.StatusCode, text.body)
	}
}

// Clients of the original API see plain messages as they always did.
func TestPlainMessageTakesNoOtherMethod(t *testing.T) {
	s := newService(limits)
	path := s.post(t, "hello")
	for _, tc := range []struct {
		method      string
		contentType string
		body        string
	}{
		{"POST", "", ""},
		{"POST", "", `{"claim":"` + claimA + `"}`},
		{"POST", "", `{"message":"x"}`},
		{"POST", "", `nonsense`},
		{"POST", "text/plain", "x"},
		{"POST", "image/png", "x"},
		{"POST", "", strings.Repeat("x", 100_000)},
		{"PUT", "", "x"},
		{"PATCH", "", "x"},
		{"OPTIONS", "", ""},
		{"DELETE", "", ""},
	} {
		h := fields()
		if tc.contentType != "" {
			h = fields("Content-Type", tc.contentType)
		}
		for _, accept := range []string{"*/*", "image/png"} {
			h.Set("Accept", accept)
			a := s.ask(tc.method, path, h, strings.NewReader(tc.body))
			expectProblem(t, a, http.StatusMethodNotAllowed, "GET, HEAD")
			if got := a.Header.Get("Allow"); got != "GET, HEAD" {
				t.Errorf("%s %.20q: Allow is %q", tc.method, tc.body, got)
			}
		}
	}
	if a := s.ask("GET", path, nil, nil); a.StatusCode != http.StatusOK {
		t.Errorf("GET after that: %d", a.StatusCode)
	}
}

// What is wrong with an opening is named, and uses nothing up.
func TestOpeningRefusals(t *testing.T) {
	s := newService(limits)
	proof, hash := proofOf("p")
	other, _ := proofOf("q")
	path, _ := s.createLimited(t, `{"message":"hello","reads":1,"proof_hash":"`+hash+`"}`)
	for _, tc := range []struct {
		body, contentType string
		status            int
		detail            string
	}{
		{"", "", 403, "proof"},
		{`{}`, "", 403, "proof"},
		{`{"proof":"` + other + `"}`, "", 403, "proof"},
		{`{"proof":"` + proof[:42] + `"}`, "", 400, "43 characters"},
		{`{"proof":"` + proof + `A"}`, "", 400, "43 characters"},
		{`{"proof":"` + proof + `="}`, "", 400, "43 characters"},
		{`{"proof":"` + strings.Repeat("A", 42) + `B"}`, "", 400, "spare bits"},
		{`{"proof":"` + strings.Repeat("+", 43) + `"}`, "", 400, "base64url"},
		{`{"proof":1}`, "", 400, `\"proof\" must be a string`},
		{`{"proof":""}`, "", 400, `\"proof\" must be a string`},
		{`{"proof":null}`, "", 400, `\"proof\" must be a string`},
		{`{"claim":"short"}`, "", 400, "16 to 64"},
		{`{"claim":"` + strings.Repeat("a", 65) + `"}`, "", 400, "16 to 64"},
		{`{"claim":"` + strings.Repeat("ä", 10) + `"}`, "", 400, "16 to 64"},
		{`{"claim":[]}`, "", 400, `\"claim\" must be a string`},
		{`{"claim":"` + claimA + `","claim":"` + claimA + `"}`, "", 400, "more than once"},
		{`{"reads":1}`, "", 400, "proof, claim"},
		{`[]`, "", 400, "not a JSON object"},
		{`{"claim":"` + claimA + `"} x`, "", 400, "not valid JSON"},
		{"\xff", "", 400, "not valid JSON"},
		{`{}` + strings.Repeat(" ", 5000), "", 413, "4096"},
		{"x", "text/plain", 415, "application/json"},
	} {
		h := fields()
		if tc.contentType != "" {
			h = fields("Content-Type", tc.contentType)
		}
		a := s.ask("POST", path, h, strings.NewReader(tc.body))
		if a.StatusCode != tc.status || !strings.Contains(a.body, tc.detail) {
			t.Errorf("%.60q: %d %s, want %d and %q", tc.body, a.StatusCode, a.body, tc.status, tc.detail)
		}
	}
	expectProblem(t, s.ask("POST", path, fields("Accept", "image/png"), strings.NewReader(`{"proof":"`+proof+`"}`)), http.StatusNotAcceptable, "Accept")
	if a := s.ask("POST", path, nil, strings.NewReader(`{"proof":"`+proof+`"}`)); a.StatusCode != http.StatusOK {
		t.Errorf("after all refusals: %d %s", a.StatusCode, a.body)
	}
}

func TestCreationRefusesReads(t *testing.T) {
	s := newService(limits)
	_, hash := proofOf("p")
	for _, tc := range []struct{ contentType, target, body, detail string }{
		{typeJSON, "/", `{"message":"x","reads":0}`, "1 to 100"},
		{typeJSON, "/", `{"message":"x","reads":101}`, "1 to 100"},
		{typeJSON, "/", `{"message":"x","reads":-1}`, "1 to 100"},
		{typeJSON, "/", `{"message":"x","reads":1.0}`, "1 to 100"},
		{typeJSON, "/", `{"message":"x","reads":1e1}`, "1 to 100"},
		{typeJSON, "/", `{"message":"x","reads":"1"}`, `\"reads\" must be a number`},
		{typeJSON, "/", `{"message":"x","reads":null}`, `\"reads\" must be a number`},
		{typeJSON, "/", `{"message":"x","reads":1,"reads":2}`, "more than once"},
		{typeJSON, "/", `{"message":"x","proof_hash":"` + hash + `"}`, `only taken with \"reads\"`},
		{typeJSON, "/", `{"message":"x","reads":1,"proof_hash":"` + hash[1:] + `"}`, "43 characters"},
		{typeJSON, "/", `{"message":"x","reads":1,"proof_hash":1}`, `\"proof_hash\" must be a string`},
		{typeText, "/?reads=0", "x", "1 to 100"},
		{typeText, "/?reads=%2B1", "x", "1 to 100"},
		{typeText, "/?reads=1&reads=1", "x", "more than once"},
		{typeText, "/?proof_hash=" + hash, "x", `only taken with \"reads\"`},
		{typeForm, "/", "message=x&reads=", "empty"},
	} {
		a := s.ask("POST", tc.target, fields("Content-Type", tc.contentType), strings.NewReader(tc.body))
		if a.StatusCode != http.StatusBadRequest || !strings.Contains(a.body, tc.detail) {
			t.Errorf("%s %s: %d %s, want 400 and %q", tc.target, tc.body, a.StatusCode, a.body, tc.detail)
		}
	}
	for _, tc := range []struct{ contentType, target, body string }{
		{typeText, "/?reads=100&ttl=60&proof_hash=" + hash, "x"},
		{typeForm, "/", "message=x&reads=1"},
	} {
		a := s.ask("POST", tc.target, fields("Content-Type", tc.contentType, "Accept", "text/plain"), strings.NewReader(tc.body))
		path := strings.TrimSpace(strings.TrimPrefix(a.body, "https://example.com"))
		if state := s.ask("GET", path, nil, nil); state.StatusCode != http.StatusOK || !strings.Contains(state.body, "reads_left") {
			t.Errorf("%s %s: %d %s, then %s", tc.target, tc.body, a.StatusCode, a.body, state.body)
		}
	}
}

func TestTakingBack(t *testing.T) {
	for name, body := range map[string]string{"plain": `{"message":"hello"}`, "limited": `{"message":"hello","reads":1}`} {
		s := newService(limits)
		path, token := s.createLimited(t, body)
		remove := func(authorization ...string) answer {
			h := fields()
			for _, a := range authorization {
				h.Add("Authorization", a)
			}
			return s.ask("DELETE", path, h, nil)
		}
		expectProblem(t, remove(), http.StatusMethodNotAllowed, "GET, HEAD")
		for _, bad := range [][]string{{"Basic eDp5"}, {"Bearer"}, {"Bearer "}, {token}, {"Bearer " + token, "Bearer " + token}} {
			a := remove(bad...)
			expectProblem(t, a, http.StatusUnauthorized, "Bearer")
			if a.Header.Get("Www-Authenticate") != "Bearer" {
				t.Errorf("%s: %q: WWW-Authenticate is %q", name, bad, a.Header.Get("Www-Authenticate"))
			}
		}
		for _, wrong := range []string{"x", token[1:], token + "A", strings.Repeat("x", 10_000)} {
			expectProblem(t, remove("Bearer "+wrong), http.StatusForbidden, "owner_token")
		}
		for _, scheme := range []string{"Bearer ", "bearer  "} {
			if a := remove(scheme + token); a.StatusCode != http.StatusNoContent || a.body != "" {
				t.Errorf("%s: %q: %d %s, want 204", name, scheme, a.StatusCode, a.body)
			}
		}
		a := s.ask("GET", path, nil, nil)
		expectGone(t, a, "took the message back")
		if _, values := membersOf(t, a); values["withdrawn_at"] == nil {
			t.Errorf("%s: %s lacks withdrawn_at", name, a.body)
		}
	}
	s := newService(limits)
	a := s.ask("DELETE", "/msg/"+message.NewID().Reveal(), fields("Authorization", "Bearer x"), nil)
	expectProblem(t, a, http.StatusNotFound, "nothing here")
}

// The reader ends a claim, and the text goes with the last one.
func TestEndingAClaim(t *testing.T) {
	s := newService(limits)
	path, _ := s.createLimited(t, `{"message":"hello","reads":1}`)
	open := func() answer { return s.ask("POST", path, nil, strings.NewReader(`{"claim":"`+claimA+`"}`)) }
	if a := open(); a.StatusCode != http.StatusOK {
		t.Fatalf("POST: %d %s", a.StatusCode, a.body)
	}
	if a := s.ask("DELETE", path, fields("Authorization", "Bearer "+claimA), nil); a.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE with the claim: %d %s", a.StatusCode, a.body)
	}
	expectGone(t, open(), "opened")
	if len(s.store.texts) > 0 {
		t.Error("the text is still stored")
	}
}

// Opening and withdrawing cost a read, and a miss where they look like guessing.
func TestLimitedMessagesAndBudgets(t *testing.T) {
	s := newService(limits)
	proof, hash := proofOf("p")
	path, token := s.createLimited(t, `{"message":"hello","reads":1,"proof_hash":"`+hash+`"}`)
	unknown := "/msg/" + message.NewID().Reveal()
	for _, tc := range []struct {
		name, method, path, body, authorization string
		want                                    []string
	}{
		{"a wrong proof", "POST", path, `{}`, "", []string{"read", "miss"}},
		{"an unknown id", "POST", unknown, `{}`, "", []string{"read", "miss"}},
		{"a wrong token", "DELETE", path, "", "Bearer x", []string{"read", "miss"}},
		{"an unknown id to take back", "DELETE", unknown, "", "Bearer x", []string{"read", "miss"}},
		{"an opening", "POST", path, `{"proof":"` + proof + `","claim":"` + claimA + `"}`, "", []string{"read", "sent:*"}},
		{"what is gone", "GET", path, "", "", []string{"read"}},
		{"taking back", "DELETE", path, "", "Bearer " + token, []string{"read"}},
		{"no credentials", "DELETE", path, "", "", nil},
	} {
		s.limiter.set("")
		h := fields()
		if tc.authorization != "" {
			h = fields("Authorization", tc.authorization)
		}
		s.ask(tc.method, tc.path, h, strings.NewReader(tc.body))
		got := s.limiter.asked()
		for i, event := range got {
			if strings.HasPrefix(event, "sent:") {
				got[i] = "sent:*"
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: charged %q, want %q", tc.name, got, tc.want)
		}
	}
	s.limiter.set("read")
	path, token = s.createLimited(t, `{"message":"hello","reads":1}`)
	expectProblem(t, s.ask("POST", path, nil, nil), http.StatusTooManyRequests, "Too much")
	expectProblem(t, s.ask("DELETE", path, fields("Authorization", "Bearer "+token), nil), http.StatusTooManyRequests, "Too much")
	s.limiter.set("")
	if a := s.ask("POST", path, nil, nil); a.StatusCode != http.StatusOK {
		t.Errorf("after refusals: %d %s", a.StatusCode, a.body)
	}
}

// The state is JSON. A client that takes text only gets a 406, and the text with
// POST.
func TestStateIsJSON(t *testing.T) {
	s := newService(limits)
	path, _ := s.createLimited(t, `{"message":"hello","reads":1}`)
	for accept, status := range map[string]int{"": 200, "*/*": 200, "application/json": 200, "text/plain, */*;q=0.1": 200, "text/plain": 406, "text/*": 406} {
		if a := s.ask("GET", path, fields("Accept", accept), nil); a.StatusCode != status || strings.Contains(a.body, "hello") {
			t.Errorf("Accept %q: %d %s, want %d", accept, a.StatusCode, a.body, status)
		}
	}
}
