//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package svoykrug

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// flock itself cannot be cancelled, so it is tried this often.
const lockEvery = 50 * time.Millisecond

var _ SharedTokenStore = FileTokenStore("")

// Lock returns once no other client of the file has the lock, or with an error once ctx is done.
func (f FileTokenStore) Lock(ctx context.Context) (unlock func(), err error) {
	// Never removed: who holds a lock on a removed file holds none.
	file, err := os.OpenFile(string(f)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = tryLock(file)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			select {
			case <-time.After(lockEvery):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return func() {
			// Not left to closing: a program started meanwhile may have inherited the file.
			syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
			file.Close()
		}, nil
	}
}

func tryLock(file *os.File) error {
	for {
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EINTR {
			return err
		}
	}
}
