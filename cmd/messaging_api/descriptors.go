package main

import (
	"fmt"
	"runtime"
	"syscall"
)

// ownDescriptors is how many descriptors the service needs besides connections: for the
// log, certificates, the embedded store and the Go runtime, with some reserve.
const ownDescriptors = 64

// checkDescriptors fails if the connections that the flags allow need more file
// descriptors than the process may have: without one, a listener cannot accept. Go has
// raised the soft limit to the hard one.
func (o *options) checkDescriptors(plainHTTP bool) error {
	addresses, others := 1, ownDescriptors+opsConns
	if plainHTTP {
		addresses++
	}
	if _, isFile := o.filePath(); !isFile {
		others += 2 * 10 * runtime.GOMAXPROCS(0) // go-redis has two pools of ten for each processor
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("the limit of file descriptors: %w", err)
	}
	most := (int64(min(limit.Cur, 1<<40)) - int64(others)) / int64(addresses)
	if int64(o.Conns) <= most {
		return nil
	}
	return usageError{fmt.Errorf("--conns %d: needs %d file descriptors, and the process may have %d: raise the limit (ulimit -n, LimitNOFILE=), or set --conns to at most %d",
		o.Conns, o.Conns*addresses+others, limit.Cur, max(most, 0))}
}
