package svoykrug_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"svoykrug"
)

func TestAFileKeepsTheSessionForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.json")
	store := svoykrug.FileTokenStore(path)
	none, err := store.Load()
	succeeds(t, err)
	equal(t, none, nil)
	session := svoykrug.StoredSession{UserID: "anna", RefreshToken: "a secret", RequestID: "1"}
	succeeds(t, store.Save(&session))
	loaded, err := store.Load()
	succeeds(t, err)
	equal(t, *loaded, session)
	facts, err := os.Stat(path)
	succeeds(t, err)
	equal(t, facts.Mode().Perm(), 0o600)
	succeeds(t, store.Save(nil))
	succeeds(t, store.Save(nil))
	left, err := os.ReadDir(filepath.Dir(path))
	succeeds(t, err)
	equal(t, len(left), 0)
}

func TestAFileWithSomethingElseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.json")
	succeeds(t, os.WriteFile(path, []byte("[]"), 0o600))
	if _, err := svoykrug.FileTokenStore(path).Load(); err == nil {
		t.Fatal("a file of something else was taken for a session")
	}
}

func TestASessionPrintsNoSecret(t *testing.T) {
	session := &svoykrug.StoredSession{UserID: "anna", RefreshToken: "a secret"}
	if printed := fmt.Sprintf("%v %+v %#v %s %v", session, session, session, session, *session); strings.Contains(printed, "secret") {
		t.Fatal(printed)
	}
}
