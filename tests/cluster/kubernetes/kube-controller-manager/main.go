// kube-controller-manager as it is released, but for one constant of its Job controller: how long it waits before it
// replaces a failed pod, which doubles with each. JOB_POD_FAILURE_BACKOFF shortens the 10 seconds for tests.
package main

import (
	"os"
	"time"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/pkg/controller/job"
)

func main() {
	if text := os.Getenv("JOB_POD_FAILURE_BACKOFF"); text != "" {
		backoff, err := time.ParseDuration(text)
		if err != nil {
			panic(err)
		}
		job.DefaultJobPodFailureBackOff = backoff
	}
	os.Exit(cli.Run(app.NewControllerManagerCommand()))
}
