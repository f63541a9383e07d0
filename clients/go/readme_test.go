package svoykrug_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")
	// What the reader writes down, and the examples take from the server under test.
	readersOwn = strings.NewReplacer(`"127.0.0.1:50051"`, "address", `"service-key.json"`, "keyFile")
)

func TestEveryExampleOfTheReadmeIsRun(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	succeeds(t, err)
	examples, err := os.ReadFile("example_test.go")
	succeeds(t, err)
	run := words(string(examples))
	blocks := goBlock.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) == 0 {
		t.Fatal("the README has no examples")
	}
	for _, block := range blocks {
		if !strings.Contains(run, words(readersOwn.Replace(block[1]))) {
			t.Errorf("example_test.go does not run this:\n%s", block[1])
		}
	}
}

// words returns a text with every run of white space as one space.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }
