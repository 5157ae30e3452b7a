// Command registry is the CNCF's registry (distribution) with what tests need of it: blobs in a folder, and htpasswd.
// Its own main would bring the clients of every cloud's object store.
package main

import (
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if registry.RootCmd.Execute() != nil {
		os.Exit(1)
	}
}
