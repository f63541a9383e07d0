package svoykrug

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// StoredSession is a signed-in session as a store keeps it. It prints without its secret.
type StoredSession struct {
	// UserID is who is signed in, a UUID.
	UserID string `json:"user_id"`
	// RefreshToken is the secret of the next refresh.
	RefreshToken string `json:"refresh_token"`
	// RequestID is the id of a refresh that was sent and not yet answered; empty when none is under way. It is stored before the
	// call, so that a refresh whose answer was lost, even by a crash, is repeated and not mistaken for theft.
	RequestID string `json:"request_id"`
}

// Format prints the session without its secret, whatever the verb.
func (s StoredSession) Format(state fmt.State, _ rune) {
	fmt.Fprintf(state, "session of %s", s.UserID)
}

// TokenStore keeps the session of one signed-in person. The client never calls it from two goroutines at once.
//
// It serves one client at a time: two that refresh the same session are thief and victim to the server. What several clients share is
// a [SharedTokenStore].
type TokenStore interface {
	// Load returns the session, or nil when nobody is signed in.
	Load() (*StoredSession, error)
	// Save keeps the session, durably before it returns; nil forgets it.
	Save(session *StoredSession) error
}

// SharedTokenStore is a [TokenStore] that several clients may share, also those of other processes.
type SharedTokenStore interface {
	TokenStore
	// Lock returns once no other client has the lock, in this process or another, or with an error once ctx is done. It is held over
	// a whole refresh: from reading the session to storing the next one.
	Lock(ctx context.Context) (unlock func(), err error)
}

// MemoryTokenStore keeps the session as long as the program runs. The zero value is ready; it serves one client at a time.
type MemoryTokenStore struct {
	mu      sync.Mutex
	session *StoredSession
}

// Load returns the session, or nil when nobody is signed in.
func (m *MemoryTokenStore) Load() (*StoredSession, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session, nil
}

// Save keeps the session; nil forgets it.
func (m *MemoryTokenStore) Save(session *StoredSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = session
	return nil
}

// FileTokenStore keeps the session in a file that only its owner may read. The file is replaced as a whole, so that a crash leaves
// the old or the new session; its folder must exist.
//
// Where the system has flock (Linux, macOS, the BSDs) it is a [SharedTokenStore]: several clients and processes may share the file, those
// in Python too. They take turns by a lock on the file beside it whose name ends in .lock, and which stays.
type FileTokenStore string

// Load returns the session, or nil when nobody is signed in.
func (f FileTokenStore) Load() (*StoredSession, error) {
	content, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var session StoredSession
	if err := json.Unmarshal(content, &session); err != nil || session.RefreshToken == "" {
		return nil, fmt.Errorf("%s holds no session of this client", string(f))
	}
	return &session, nil
}

// Save keeps the session; nil removes the file.
func (f FileTokenStore) Save(session *StoredSession) error {
	if session == nil {
		if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else if err := f.replace(session); err != nil {
		return err
	}
	// A rename or a removal is durable once its folder is.
	folder, err := os.Open(filepath.Dir(string(f)))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (f FileTokenStore) replace(session *StoredSession) error {
	content, err := json.Marshal(session)
	if err != nil {
		return err
	}
	// CreateTemp makes the file with mode 0600.
	file, err := os.CreateTemp(filepath.Dir(string(f)), "."+filepath.Base(string(f))+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), string(f))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
