package main

import (
	"fmt"
	"runtime"
	"syscall"
)

// ownDescriptors is how many files the service has open besides connections: the
// log, certificates, the embedded store, what the Go runtime needs, and some more.
const ownDescriptors = 64

// checkDescriptors fails where all connections that the flags allow would take
// more file descriptors than the process may have: the listeners would stop
// accepting once these are used up. Go has raised the limit as far as it may.
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
