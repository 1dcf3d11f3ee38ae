package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	diskSize    = 160 // MiB
	diskReserve = 48  // MiB
)

// A disk is a small file system with a Redis on it, started by deploy/redis/start-redis as in
// its container. As there, Redis is started again when it ends.
type disk struct {
	lab   *lab
	dir   string
	port  string
	admin *redis.Client
	exits atomic.Int32
	now   atomic.Pointer[process]
}

// errNotRoot means that this part needs rights that this user lacks.
var errNotRoot = errors.New("only root can mount a small file system")

// startDisk mounts the file system and starts Redis. The mount ends with the script
// that runs this program.
func startDisk(l *lab) (*disk, error) {
	if os.Getuid() != 0 {
		return nil, errNotRoot
	}
	d := &disk{lab: l, dir: filepath.Join(l.dir, "disk")}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return nil, err
	}
	mount := exec.CommandContext(l.ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", diskSize), "tmpfs", d.dir)
	if out, err := mount.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mount: %w: %s", err, out)
	}
	var err error
	if d.port, err = freePort(l.ctx); err != nil {
		return nil, err
	}
	err = l.fill(filepath.Join(l.dir, "disk.acl"), []string{"users.acl"}, "user admin on >"+adminPassword+" ~* &* +@all\n",
		"@PASSWORD_SHA256@", hash(servicePassword))
	if err != nil {
		return nil, err
	}
	d.admin = redis.NewClient(&redis.Options{
		Addr: net.JoinHostPort("127.0.0.1", d.port), Username: "admin", Password: adminPassword, Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, DialerRetries: 1, ReadTimeout: time.Second,
	})
	if err := d.run(); err != nil {
		return nil, err
	}
	return d, l.await("Redis on the small disk answers", func() bool { return d.admin.Ping(l.ctx).Err() == nil })
}

// run starts Redis, and again whenever it ends.
func (d *disk) run() error {
	start := filepath.Join(d.lab.deploy, "start-redis")
	p, err := d.lab.launchIn(d.dir, filepath.Join(d.lab.dir, "disk.log"), "env", fmt.Sprintf("DISK_RESERVE=%d", diskReserve), "RUNTIME_DIRECTORY="+d.lab.dir, start,
		filepath.Join(d.lab.deploy, "redis.conf"), filepath.Join(d.lab.dir, "disk.acl"), "--bind", "127.0.0.1", "--port", d.port)
	if err != nil {
		return err
	}
	d.now.Store(p)
	go func() {
		<-p.exited
		d.exits.Add(1)
		if d.lab.ctx.Err() == nil {
			_ = d.run()
		}
	}()
	return nil
}

// free is the room on the disk, in MiB.
func (d *disk) free() int {
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		return -1
	}
	return int(float64(s.Bavail) * float64(s.Bsize) / (1 << 20))
}

// occupy fills the disk with another file until only leave MiB are free.
func (d *disk) occupy(name string, leave int) error {
	file, err := os.Create(filepath.Join(d.dir, name))
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for d.free() > leave {
		if _, err := file.Write(block); err != nil {
			break // full: as far as it goes
		}
	}
	if leave == 0 { // to the last byte
		for err = nil; err == nil; {
			_, err = file.Write(block[:512])
		}
	}
	return file.Close()
}

// refusing reports whether Redis was told to write nothing.
func (d *disk) refusing() bool {
	return d.admin.ConfigGet(d.lab.ctx, "appendfsync").Val()["appendfsync"] == "everysec"
}

func (d *disk) vacate(names ...string) {
	for _, name := range names {
		_ = os.Remove(filepath.Join(d.dir, name))
	}
}

// fullDisk shows that reads go on while the disk under Redis is full, that creations are
// refused honestly, and that all is well when there is room again.
func fullDisk(l *lab) error {
	d, err := startDisk(l)
	if err != nil {
		return err
	}
	s, err := l.startService("disk", "redis://messaging_api@127.0.0.1:"+d.port, 0)
	if err != nil {
		return err
	}
	defer s.stop()
	c := newCaller(s.url, time.Now())
	defer c.client.CloseIdleConnections()
	work := startLoad(l.ctx, c)
	defer work.end()
	r := &report{out: l.output}

	r.check(someMore(l, c), "clients create messages")
	// Other files take the room, down to less than the reserve.
	r.check(d.occupy("first", diskReserve*3/4), "the disk fills")
	r.check(l.await("creations are refused", c.refuses(http.StatusInsufficientStorage)), "less than the reserve is free: creations are 507")
	r.check(l.await("limited messages are opened", c.opens), "openings go on")
	r.check(c.reads(), "reads go on")

	r.check(d.occupy("second", 0), "the disk fills to the last byte")
	r.check(l.await("writes are refused", d.refusing), "Redis is told to write nothing")
	r.check(l.await("openings are refused", c.refusesOpening), "openings are 503")
	r.check(c.reads(), "reads go on")
	r.expect(d.exits.Load() == 0, "Redis has not exited")

	d.now.Load().signal(syscall.SIGKILL)
	r.check(l.await("Redis is there again", func() bool { return d.exits.Load() == 1 && errors.Is(d.admin.Get(l.ctx, "x").Err(), redis.Nil) }), "Redis starts on a full disk")
	r.check(l.await("the service reads again", func() bool { return c.reads() == nil }), "reads go on")

	d.vacate("second", "first")
	r.check(l.await("messages are created", func() bool { _, ok := c.create(l.ctx, 0); return ok }), "there is room again: creations go on")
	r.check(someMore(l, c), "clients create messages")

	// All at once, faster than start-redis checks: Redis may exit, and starts again.
	before := d.exits.Load()
	r.check(d.occupy("at once", 0), "the disk fills at once, under load")
	r.check(l.await("writes are refused", d.refusing), "Redis is told to write nothing")
	r.check(l.await("the service reads again", func() bool { return c.reads() == nil }), "reads go on")
	exits := d.exits.Load() - before
	r.expect(exits <= 1, fmt.Sprintf("Redis has exited %d times, once at most", exits))
	d.vacate("at once")
	r.check(l.await("messages are created", func() bool { _, ok := c.create(l.ctx, 0); return ok }), "there is room again: creations go on")

	// Messages fill the disk themselves.
	r.check(d.occupy("third", diskReserve+24), "little room is left")
	r.check(l.await("creations are refused", func() bool { return c.createLarge(l) == http.StatusInsufficientStorage }), "messages fill the disk: creations are 507")
	r.expect(d.free() >= diskReserve/2, "half of the reserve is left at least")
	r.check(l.await("the metrics show it", func() bool { return s.limit(l) < 300<<20 }), "the metric of the room has fallen, for the alert")
	d.vacate("third")
	r.check(l.await("messages are created", func() bool { _, ok := c.create(l.ctx, 0); return ok }), "there is room again: creations go on")
	r.expect(d.exits.Load() == before+exits, "Redis has not exited any more")

	work.end()
	c.audit(l.ctx, c.past.acknowledged())
	v := judge(c.past)
	r.expect(!v.bad(), fmt.Sprintf("of %d messages acknowledged none is lost %s", v.acked, strings.Join(v.examples, "; ")))
	return r.err
}

// A report prints what was shown, and keeps what was not.
type report struct {
	out io.Writer
	err error
}

func (r *report) check(err error, what string) {
	if err != nil {
		r.err = errors.Join(r.err, errBroken, fmt.Errorf("%s: %w", what, err))
	}
	r.say(err == nil, what)
}

func (r *report) expect(holds bool, what string) {
	if !holds {
		r.err = errors.Join(r.err, errBroken)
	}
	r.say(holds, what)
}

func (r *report) say(holds bool, what string) {
	word := "ok"
	if !holds {
		word = "FAIL"
	}
	_, _ = fmt.Fprintf(r.out, "disk      %s: %s\n", word, what)
}
