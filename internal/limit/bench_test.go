package limit

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// tracked is how many clients the service tracks by default.
const tracked = 65_536

// fullTable returns a table in which so many clients have used each budget.
func fullTable(b *testing.B, now time.Time) *Table {
	table := NewTable(defaults(b), tracked*11/10) // room for chance among the shards
	for n := range tracked {
		for budget := range budgets {
			take(table, client(n), budget, 1, now)
		}
	}
	if st := table.Stats(); st.Clients != tracked {
		b.Fatalf("%+v, want %d clients", st, tracked)
	}
	return table
}

// BenchmarkTake is one decision about a random one of the clients. Run it with
// -cpu 1,2.
func BenchmarkTake(b *testing.B) {
	table := fullTable(b, time.Now())
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		rnd := rand.New(rand.NewPCG(rand.Uint64(), 1))
		for pb.Next() {
			take(table, client(int(rnd.Uint32()%tracked)), Create, 1, time.Now())
		}
	})
}

// BenchmarkTakeRefused is the decision about a client that floods.
func BenchmarkTakeRefused(b *testing.B) {
	now := time.Now()
	table := fullTable(b, now)
	take(table, client(1), Create, 29, now)
	b.ReportAllocs()
	for b.Loop() {
		if take(table, client(1), Create, 1, now).Allowed {
			b.Fatal("allowed")
		}
	}
}

// BenchmarkTakeNewcomer is the decision about clients that were never there
// before, in a table that is full of clients which cannot be forgotten.
func BenchmarkTakeNewcomer(b *testing.B) {
	now := time.Now()
	table := NewTable(defaults(b), tracked)
	for n := range 2 * tracked {
		take(table, client(n), Create, 1, now)
	}
	n := 2 * tracked
	b.ReportAllocs()
	for b.Loop() {
		n++
		take(table, client(n), Create, 1, now)
	}
}

// BenchmarkMemory reports what a client takes that has used so many budgets.
func BenchmarkMemory(b *testing.B) {
	for _, used := range []Budget{1, 2, 5, budgets} {
		b.Run(fmt.Sprint(int(used)), func(b *testing.B) {
			for b.Loop() {
				before := liveHeap()
				now := time.Now()
				table := NewTable(defaults(b), tracked)
				for n := range 2 * tracked { // so many that every shard is full
					for budget := range used {
						take(table, client(n), budget, 1, now)
					}
				}
				b.ReportMetric(float64(liveHeap()-before)/float64(table.Stats().Clients), "B/client")
				runtime.KeepAlive(table)
			}
		})
	}
}

func BenchmarkSetHeaders(b *testing.B) {
	now := time.Now()
	table := NewTable(defaults(b), 1)
	create, bytes := take(table, client(1), Create, 1, now), take(table, client(1), Bytes, 1000, now)
	b.ReportAllocs()
	for b.Loop() {
		SetHeaders(make(http.Header, 4), create, bytes)
	}
}
