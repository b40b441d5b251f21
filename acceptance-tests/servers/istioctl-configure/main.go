// Runs `istioctl x workload` for each line of stdin, in one process: a line is a JSON list of
// arguments, the answer a JSON string, empty if it went well. What istioctl prints is dropped.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"

	"github.com/spf13/pflag"
	"istio.io/istio/istioctl/pkg/cli"
	"istio.io/istio/istioctl/pkg/workload"
)

func main() {
	answers := json.NewEncoder(os.Stdout)
	os.Stdout = os.Stderr
	flags := pflag.NewFlagSet("root", pflag.ExitOnError)
	root := cli.AddRootFlags(flags)
	_ = flags.Parse(os.Args[1:])
	context := cli.NewCLIContext(root)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var args []string
		if err := json.Unmarshal(lines.Bytes(), &args); err != nil {
			panic(err)
		}
		// Made anew: a command keeps the flags of the run before.
		command := workload.Cmd(context)
		command.SetArgs(args)
		command.SetOut(io.Discard)
		command.SetErr(io.Discard)
		text := ""
		if err := command.Execute(); err != nil {
			text = err.Error()
		}
		_ = answers.Encode(text)
	}
}
