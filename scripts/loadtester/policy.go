package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"
)

// A policy is what a service says of one budget, in the RateLimit-Policy field
// of an answer (draft-ietf-httpapi-ratelimit-headers-11, section 3).
type policy struct {
	quota  int64 // tokens in a full bucket
	window int64 // seconds in which an empty one fills
}

// rate is in tokens a second. A window is whole seconds: of a rate that does not
// fill the bucket in so many, a client cannot know better.
func (p policy) rate() float64 { return float64(p.quota) / float64(p.window) }

// within is what one client may spend in a time, beginning with a full bucket.
func (p policy) within(d time.Duration) float64 {
	return float64(p.quota) + p.rate()*d.Seconds()
}

// policies reads the policies of an answer, by name.
func policies(h http.Header) (map[string]policy, error) {
	items, err := items(h, "RateLimit-Policy", "q", "w")
	if err != nil {
		return nil, err
	}
	all := make(map[string]policy)
	for name, values := range items {
		p := policy{quota: values[0], window: values[1]}
		if p.quota < 1 || p.window < 1 {
			return nil, fmt.Errorf("RateLimit-Policy of %q: q and w must be positive", name)
		}
		all[name] = p
	}
	return all, nil
}

// items reads a field that lists names, each with two parameters.
func items(h http.Header, field, first, second string) (map[string][2]int64, error) {
	list, err := httpsfv.UnmarshalList(h.Values(field))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if len(list) == 0 {
		return nil, errors.New("there is no " + field + " field")
	}
	all := make(map[string][2]int64)
	for _, member := range list {
		item, _ := member.(httpsfv.Item)
		name, ok := item.Value.(string)
		if !ok {
			return nil, errors.New(field + " lists something that is not a name")
		}
		a, err := number(item, first)
		if err != nil {
			return nil, fmt.Errorf("%s of %q: %w", field, name, err)
		}
		b, err := number(item, second)
		if err != nil {
			return nil, fmt.Errorf("%s of %q: %w", field, name, err)
		}
		all[name] = [2]int64{a, b}
	}
	return all, nil
}

func number(item httpsfv.Item, name string) (int64, error) {
	value, _ := item.Params.Get(name)
	n, ok := value.(int64)
	if !ok {
		return 0, fmt.Errorf("the parameter %s is not a whole number", name)
	}
	return n, nil
}
