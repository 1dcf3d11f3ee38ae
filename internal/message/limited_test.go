package message_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"messaging_api/internal/message"
)

// limited creates a message that can be opened so often, with a proof.
func limited(t *testing.T, box *message.Box, reads int, proof []byte) message.Created {
	t.Helper()
	hash := message.Hash(sha256.Sum256(proof))
	c, err := box.Create(t.Context(), message.Draft{Text: []byte("hello"), TTL: time.Hour, Reads: reads, ProofHash: &hash}, noon)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A claim that is repeated gets the same answer and uses up nothing; another
// claim uses up a read; nothing is left afterwards.
func TestOpen(t *testing.T) {
	store := newMemory(t)
	box := message.NewBox(store)
	proof := []byte("proof")
	c := limited(t, box, 2, proof)
	id := c.ID.Reveal()
	open := func(claim string, at time.Duration) (message.Message, error) {
		return box.Open(t.Context(), id, message.Opening{Proof: proof, Claim: claim}, noon.Add(at))
	}
	state, err := box.Read(t.Context(), id, noon)
	if err != nil || state.Text != nil || !state.Limited || state.Left != 2 || len(state.Opened) != 0 {
		t.Fatalf("Read before: %+v, %v", state, err)
	}
	first, err := open("claim A", time.Second)
	if err != nil || string(first.Text) != "hello" || first.Left != 1 || len(first.Opened) != 0 || first.Repeat {
		t.Fatalf("Open with claim A: %+v, %v", first, err)
	}
	second, err := open("claim B", 2*time.Second)
	if err != nil || second.Left != 0 || len(second.Opened) != 1 || !second.Opened[0].Equal(noon.Add(time.Second).Truncate(time.Millisecond)) {
		t.Fatalf("Open with claim B: %+v, %v", second, err)
	}
	again, err := open("claim A", message.ClaimLife)
	if err != nil || !again.Repeat || again.Left != first.Left || len(again.Opened) != 0 || string(again.Text) != "hello" {
		t.Errorf("claim A again: %+v, %v, want %+v", again, err, first)
	}
	var gone *message.GoneError
	if _, err := box.Read(t.Context(), id, noon.Add(3*time.Second)); !errors.As(err, &gone) || len(gone.Opened) != 2 {
		t.Errorf("Read after the last opening: %v, want a GoneError with two openings", err)
	}
	if _, err := open("", 3*time.Second); !errors.As(err, &gone) {
		t.Errorf("Open without a claim: %v, want a GoneError", err)
	}
	if _, err := open("claim A", message.ClaimLife+time.Second); !errors.As(err, &gone) {
		t.Errorf("claim A after its end: %v, want a GoneError", err)
	}
	for _, life := range store.lives {
		if want := message.TextLife(message.ClaimLife); life > want || life < want-message.TextLife(time.Second) {
			t.Errorf("the text lives for %v, want as long as claim B: %v", time.Duration(life), message.ClaimLife)
		}
	}
}

// A last read without a claim deletes the text at once, unless another claim
// still needs it.
func TestTextGoesWithTheLastRead(t *testing.T) {
	for name, tc := range map[string]struct {
		claims []string
		stays  bool
	}{
		"no claim":              {[]string{""}, false},
		"a claim":               {[]string{"A"}, true},
		"a claim, then without": {[]string{"A", ""}, true},
	} {
		store := newMemory(t)
		box := message.NewBox(store)
		c := limited(t, box, len(tc.claims), []byte("p"))
		for _, claim := range tc.claims {
			if _, err := box.Open(t.Context(), c.ID.Reveal(), message.Opening{Proof: []byte("p"), Claim: claim}, noon); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if stays := len(store.texts) > 0; stays != tc.stays {
			t.Errorf("%s: the text is stored: %v, want %v", name, stays, tc.stays)
		}
		if !tc.stays {
			continue
		}
		for range 2 { // a lost answer is asked for again
			if taken, err := box.Withdraw(t.Context(), c.ID.Reveal(), "A", noon); err != nil || taken {
				t.Errorf("%s: ending claim A: %v, taken back %v", name, err, taken)
			}
		}
		var gone *message.GoneError
		if _, err := box.Open(t.Context(), c.ID.Reveal(), message.Opening{Proof: []byte("p"), Claim: "A"}, noon); !errors.As(err, &gone) {
			t.Errorf("%s: claim A after its end: %v, want a GoneError", name, err)
		}
		if len(store.texts) > 0 {
			t.Errorf("%s: the text is stored although its last claim has ended", name)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	box := message.NewBox(newMemory(t))
	plain, err := box.Create(t.Context(), message.Draft{Text: []byte("x"), TTL: time.Hour}, noon)
	if err != nil {
		t.Fatal(err)
	}
	c := limited(t, box, 1, []byte("p"))
	malformed := errors.New("malformed")
	var gone *message.GoneError
	for _, tc := range []struct {
		name  string
		id    string
		proof string
		is    error
	}{
		{"a malformed id", "x", "p", message.ErrNotFound},
		{"unknown", message.NewID().Reveal(), "p", message.ErrNotFound},
		{"plain", plain.ID.Reveal(), "p", message.ErrPlain},
		{"malformed, plain", plain.ID.Reveal(), "p", message.ErrPlain},
		{"malformed", c.ID.Reveal(), "p", malformed},
		{"no proof", c.ID.Reveal(), "", message.ErrProof},
		{"wrong proof", c.ID.Reveal(), "q", message.ErrProof},
	} {
		o := message.Opening{Proof: []byte(tc.proof), Claim: "A"}
		if strings.HasPrefix(tc.name, "malformed") {
			o.Malformed = malformed
		}
		if _, err := box.Open(t.Context(), tc.id, o, noon); !errors.Is(err, tc.is) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.is)
		}
	}
	if _, err := box.Open(t.Context(), c.ID.Reveal(), message.Opening{Proof: []byte("p"), Claim: "A"}, noon); err != nil {
		t.Errorf("after refusals nothing is used up: %v", err)
	}
	if _, err := box.Open(t.Context(), c.ID.Reveal(), message.Opening{Proof: []byte("q"), Claim: "A"}, noon); !errors.Is(err, message.ErrProof) {
		t.Errorf("the claim with a wrong proof: %v, want ErrProof", err)
	}
	for _, o := range []message.Opening{{Proof: []byte("q"), Claim: "B"}, {Malformed: malformed}} {
		if _, err := box.Open(t.Context(), c.ID.Reveal(), o, noon); !errors.As(err, &gone) {
			t.Errorf("%+v of a spent message: %v, want a GoneError", o, err)
		}
	}
}

func TestWithdraw(t *testing.T) {
	var gone *message.GoneError
	for name, reads := range map[string]int{"plain": 0, "limited": 2} {
		store := newMemory(t)
		box := message.NewBox(store)
		c, err := box.Create(t.Context(), message.Draft{Text: []byte("hello"), TTL: time.Hour, Reads: reads}, noon)
		if err != nil {
			t.Fatal(err)
		}
		id := c.ID.Reveal()
		if reads > 0 {
			if _, err := box.Open(t.Context(), id, message.Opening{Claim: "A"}, noon); err != nil {
				t.Fatal(err)
			}
		}
		for _, wrong := range []string{"", "x", c.ID.Reveal(), message.Token{}.Reveal()} {
			if _, err := box.Withdraw(t.Context(), id, wrong, noon); !errors.Is(err, message.ErrToken) {
				t.Errorf("%s: Withdraw with %q: %v, want ErrToken", name, wrong, err)
			}
		}
		for range 2 {
			if _, err := box.Withdraw(t.Context(), id, c.Owner.Reveal(), noon.Add(time.Minute)); err != nil {
				t.Errorf("%s: Withdraw: %v", name, err)
			}
		}
		if _, err := box.Read(t.Context(), id, noon.Add(time.Hour/2)); !errors.As(err, &gone) || !gone.Withdrawn.Equal(noon.Add(time.Minute).Truncate(time.Millisecond)) {
			t.Errorf("%s: Read after: %v, want a GoneError with the time", name, err)
		}
		if len(store.texts) > 0 {
			t.Errorf("%s: the text is still stored", name)
		}
		if reads > 0 {
			if _, err := box.Open(t.Context(), id, message.Opening{Claim: "A"}, noon.Add(time.Minute)); !errors.As(err, &gone) {
				t.Errorf("%s: a live claim after it: %v, want a GoneError", name, err)
			}
		}
		if _, err := box.Withdraw(t.Context(), id, c.Owner.Reveal(), c.Expires); !errors.Is(err, message.ErrNotFound) {
			t.Errorf("%s: Withdraw at its end: %v, want ErrNotFound", name, err)
		}
	}
}

// There is nothing to take back once the text has been read, but as long as a
// claim lives there is.
func TestWithdrawAfterReading(t *testing.T) {
	var gone *message.GoneError
	box := message.NewBox(newMemory(t))
	c := limited(t, box, 1, []byte("p"))
	if _, err := box.Open(t.Context(), c.ID.Reveal(), message.Opening{Proof: []byte("p"), Claim: "A"}, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := box.Withdraw(t.Context(), c.ID.Reveal(), c.Owner.Reveal(), noon.Add(message.ClaimLife)); !errors.As(err, &gone) || !gone.Withdrawn.IsZero() {
		t.Errorf("Withdraw after the claim's end: %v, want a GoneError", err)
	}
	if _, err := box.Withdraw(t.Context(), c.ID.Reveal(), c.Owner.Reveal(), noon.Add(time.Minute)); err != nil {
		t.Errorf("Withdraw while the claim lives: %v", err)
	}
}

func TestTakeDown(t *testing.T) {
	var gone *message.GoneError
	for _, reads := range []int{0, 1} {
		store := newMemory(t)
		box := message.NewBox(store)
		c, err := box.Create(t.Context(), message.Draft{Text: []byte("hello"), TTL: time.Hour, Reads: reads}, noon)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := box.TakeDown(t.Context(), c.ID.Reveal(), noon); err != nil {
				t.Errorf("TakeDown with %d reads: %v", reads, err)
			}
		}
		if _, err := box.Read(t.Context(), c.ID.Reveal(), noon); !errors.As(err, &gone) || gone.TakenDown.IsZero() || len(store.texts) > 0 {
			t.Errorf("Read with %d reads after it: %v, %d texts", reads, err, len(store.texts))
		}
	}
	if err := message.NewBox(newMemory(t)).TakeDown(t.Context(), message.NewID().Reveal(), noon); !errors.Is(err, message.ErrNotFound) {
		t.Errorf("TakeDown of an unknown id: %v", err)
	}
}

// A text that is still stored although its record says that it is spent is not
// served.
func TestSpentTextIsNotServed(t *testing.T) {
	store := newMemory(t)
	box := message.NewBox(store)
	c := limited(t, box, 1, []byte("p"))
	open := message.Opening{Proof: []byte("p")}
	var key message.Key
	var text []byte
	for key, text = range store.texts {
	}
	if _, err := box.Open(t.Context(), c.ID.Reveal(), open, noon); err != nil {
		t.Fatal(err)
	}
	store.texts[key] = text
	var gone *message.GoneError
	if m, err := box.Open(t.Context(), c.ID.Reveal(), open, noon); !errors.As(err, &gone) {
		t.Errorf("Open: %+v, %v, want a GoneError", m, err)
	}
}

// Exactly as many openers as there are reads get the text, however many come at
// once.
func TestManyOpeners(t *testing.T) {
	for _, reads := range []int{1, 3, message.MaxReads} {
		box := message.NewBox(newMemory(t))
		c := limited(t, box, reads, []byte("p"))
		var wg sync.WaitGroup
		texts := make(chan string, 200)
		for i := range cap(texts) {
			wg.Go(func() {
				m, err := box.Open(context.Background(), c.ID.Reveal(), message.Opening{Proof: []byte("p"), Claim: fmt.Sprint("claim ", i)}, noon)
				var gone *message.GoneError
				switch {
				case err == nil:
					texts <- string(m.Text)
				case !errors.As(err, &gone):
					t.Errorf("Open: %v", err)
				}
			})
		}
		wg.Wait()
		if len(texts) != reads {
			t.Errorf("%d openers got a text, want %d", len(texts), reads)
		}
	}
}

// A reference is what a limited message is, as simply as it can be said.
type reference struct {
	reads     int
	expires   time.Time
	opened    []time.Time
	claims    map[string]int // to the place of the opening
	ends      map[string]time.Time
	withdrawn bool
}

func (r *reference) live(claim string, now time.Time) bool {
	end, ok := r.ends[claim]
	return ok && now.Before(end)
}

// open returns what an opening is answered with: the place, or the error.
func (r *reference) open(claim string, proof bool, now time.Time) (int, string) {
	switch {
	case !now.Before(r.expires):
		return 0, "not found"
	case r.withdrawn, len(r.opened) == r.reads && !r.live(claim, now):
		return 0, "gone"
	case !proof:
		return 0, "proof"
	case r.live(claim, now):
		return r.claims[claim], ""
	}
	r.opened = append(r.opened, now.Truncate(time.Millisecond))
	for old := range r.ends {
		if !r.live(old, now) {
			delete(r.ends, old) // for good, even if the clock steps back
		}
	}
	if claim != "" {
		end := now.Add(message.ClaimLife).Truncate(time.Millisecond)
		if r.expires.Before(end) {
			end = r.expires
		}
		r.claims[claim], r.ends[claim] = len(r.opened)-1, end
	}
	return len(r.opened) - 1, ""
}

// withdraw returns what taking back is answered with.
func (r *reference) withdraw(now time.Time) string {
	live := false
	for claim := range r.ends {
		live = live || r.live(claim, now)
	}
	switch {
	case !now.Before(r.expires):
		return "not found"
	case !r.withdrawn && len(r.opened) == r.reads && !live:
		return "gone"
	}
	r.withdrawn = true
	clear(r.ends)
	return ""
}

func outcome(err error) string {
	var gone *message.GoneError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, message.ErrNotFound):
		return "not found"
	case errors.Is(err, message.ErrProof):
		return "proof"
	case errors.As(err, &gone):
		return "gone"
	}
	return err.Error()
}

// Whatever is asked in whatever order, with a clock that steps both ways, the
// answers are the reference's.
func TestAgainstReference(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		box := message.NewBox(newMemory(t))
		r := &reference{reads: 1 + random.IntN(4), claims: make(map[string]int), ends: make(map[string]time.Time)}
		c := limited(t, box, r.reads, []byte("p"))
		r.expires = c.Expires
		now := noon
		for step := range 40 {
			now = now.Add(time.Duration(random.IntN(240)-60) * time.Second)
			claim := []string{"", "A", "B", "C"}[random.IntN(4)]
			var got, want string
			switch random.IntN(12) {
			case 0:
				_, err := box.Withdraw(t.Context(), c.ID.Reveal(), c.Owner.Reveal(), now)
				got, want = outcome(err), r.withdraw(now)
			case 1:
				_, err := box.Open(t.Context(), c.ID.Reveal(), message.Opening{Claim: claim}, now)
				_, want = r.open(claim, false, now)
				got = outcome(err)
			default:
				m, err := box.Open(t.Context(), c.ID.Reveal(), message.Opening{Proof: []byte("p"), Claim: claim}, now)
				place, o := r.open(claim, true, now)
				got, want = outcome(err), o
				if err == nil && want == "" && (len(m.Opened) != place || !slices.EqualFunc(m.Opened, r.opened[:place], time.Time.Equal) || m.Left != r.reads-place-1) {
					t.Fatalf("seed %d step %d: claim %q got %+v, want place %d", seed, step, claim, m, place)
				}
			}
			if got != want {
				t.Fatalf("seed %d step %d: got %q, want %q", seed, step, got, want)
			}
		}
	}
}
