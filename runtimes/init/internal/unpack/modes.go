package unpack

import (
	"archive/zip"
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"
)

// Unix file types in the high half of a zip entry's external attributes.
const (
	unixType      = 0o170000
	unixDirectory = 0o040000
	unixRegular   = 0o100000
	unixLink      = 0o120000

	creatorUnix  = 3
	creatorMacOS = 19
)

func unixMode(entry *zip.File) uint32 {
	if creator := entry.CreatorVersion >> 8; creator != creatorUnix && creator != creatorMacOS {
		return 0
	}
	return entry.ExternalAttrs >> 16
}

func isDirectory(entry *zip.File) bool {
	return strings.HasSuffix(entry.Name, "/") || unixMode(entry)&unixType == unixDirectory
}

func isLink(entry *zip.File) bool { return unixMode(entry)&unixType == unixLink }

// permissions are those of the archive, without set-uid and the like; none at all means 0644 or 0755, as on Lambda.
func permissions(entry *zip.File) fs.FileMode {
	if mode := fs.FileMode(unixMode(entry)) & fs.ModePerm; mode != 0 {
		return mode
	}
	if isDirectory(entry) {
		return 0o755
	}
	return 0o644
}

func isLoop(err error) bool { return errors.Is(err, syscall.ELOOP) }

// metered counts what is really written: the sizes in an archive's headers are only claims.
type metered struct {
	to     io.Writer
	budget *Budget
}

func (m *metered) Write(p []byte) (int, error) {
	if err := m.budget.spend(int64(len(p))); err != nil {
		return 0, err
	}
	return m.to.Write(p)
}

// onlyWriter hides io.ReaderFrom, which would bypass the buffer.
type onlyWriter struct{ io.Writer }
