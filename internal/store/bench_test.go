package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"messaging_api/internal/message"
)

// What a message of 256 bytes costs in each store, one at a time and many at
// once, which share commits and connections.

func BenchmarkBolt(b *testing.B) {
	benchmark(b, openBolt(b, filepath.Join(b.TempDir(), "messages.db")))
}

func BenchmarkRedis(b *testing.B) { benchmark(b, startRedis(b, redisSetup{}).open()) }

func benchmark(b *testing.B, s messageStore) {
	value := make([]byte, 256)
	put := func() (message.Key, error) {
		key := randomKey()
		return key, s.Put(b.Context(), key, value, nil, time.Hour)
	}
	key, err := put()
	if err != nil {
		b.Fatal(err)
	}
	get := func() error {
		_, err := s.Get(b.Context(), key)
		return err
	}
	for name, operation := range map[string]func() error{
		"Get": get,
		"Put": func() error { _, err := put(); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := operation(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/many", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := operation(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
