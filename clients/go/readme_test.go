package svoykrug_test

import (
	"os"
	"os/exec"
	"path/filepath"
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
	for _, block := range blocks[1:] {
		if !strings.Contains(run, words(readersOwn.Replace(block[1]))) {
			t.Errorf("example_test.go does not run this:\n%s", block[1])
		}
	}
}

func TestTheFirstProgramOfTheReadmeSignsIn(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	succeeds(t, err)
	first := string(goBlock.FindSubmatch(readme)[1])
	// Within the module, so that it is built from what is tested here; no pattern of packages finds what begins so.
	folder, err := os.MkdirTemp(".", "_readme")
	succeeds(t, err)
	t.Cleanup(func() { succeeds(t, os.RemoveAll(folder)) })
	ours := strings.NewReplacer("127.0.0.1:50051", running.address, "+7 999 123-45-67", demoPhone).Replace(first)
	succeeds(t, os.WriteFile(filepath.Join(folder, "main.go"), []byte(ours), 0o600))
	program := exec.Command("go", "run", "./"+folder)
	program.Stdin = strings.NewReader(demoCode + "\n")
	output, err := program.CombinedOutput()
	if err != nil || !strings.Contains(string(output), demoPhone) {
		t.Fatalf("%v\n%s", err, output)
	}
}

// words returns a text with every run of white space as one space.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }
