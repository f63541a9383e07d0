package svoykrug_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// row is a step of the scenario that all clients share; what is expected of it has ids.
type row struct {
	ID      string
	Expects map[string]string
}

// table returns the steps of the scenario, in their order.
func table(t *testing.T) []row {
	t.Helper()
	content, err := os.ReadFile("../scenario.json")
	succeeds(t, err)
	var scenario struct{ Steps []row }
	succeeds(t, json.Unmarshal(content, &scenario))
	return scenario.Steps
}

// underWay is a step that runs, and what of it has to hold yet.
type underWay struct {
	step    string
	awaited map[string]string
}

func begin(row row) underWay { return underWay{row.ID, row.Expects} }

// met tells that an expectation of the step holds, which the table names and which was not told before.
func (u *underWay) met(t *testing.T, expectation string) {
	t.Helper()
	if _, ok := u.awaited[expectation]; !ok {
		t.Fatalf("%s is not expected of %s, or was met before", expectation, u.step)
	}
	delete(u.awaited, expectation)
	fmt.Printf("scenario %s.%s ok (go)\n", u.step, expectation)
}

// end tells that the whole step went well.
func (u *underWay) end(t *testing.T) {
	t.Helper()
	if len(u.awaited) > 0 {
		t.Fatalf("not met: %v", u.awaited)
	}
	fmt.Printf("scenario %s ok (go)\n", u.step)
}
