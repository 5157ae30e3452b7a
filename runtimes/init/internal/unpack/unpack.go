// Package unpack puts a function's zip archive into a directory, as Lambda does, and lets nothing get out of it.
//
// Refused as a whole: names that leave the directory, symbolic links that leave it, encrypted entries, special files,
// more entries or bytes than allowed. All writing goes through os.Root, so that not even a link made by an earlier entry
// leads outside. Files are written in parallel when the archive is large.
package unpack

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
)

// Lambda's limit of the unzipped size of code and layers, and ours of their number.
const (
	MaxBytes   = 262144000
	MaxEntries = 250_000
	// parallelFrom is the archive size from which several cores inflate.
	parallelFrom = 1 << 20
	maxLink      = 4096
)

// The words by which gateways and operator know what is wrong with an archive.
const (
	InvalidZip = "InvalidZipFile"
	TooLarge   = "CodeTooLarge"
)

// Error is a refused archive.
type Error struct {
	Type string
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func invalid(format string, values ...any) error {
	return &Error{InvalidZip, fmt.Errorf(format, values...)}
}

// Budget is what is left of the limits, over all archives of one function.
type Budget struct {
	bytes   atomic.Int64
	entries atomic.Int64
}

// NewBudget allows bytes and entries.
func NewBudget(bytes, entries int64) *Budget {
	b := &Budget{}
	b.bytes.Store(bytes)
	b.entries.Store(entries)
	return b
}

func (b *Budget) spend(bytes int64) error {
	if b.bytes.Add(-bytes) < 0 {
		return &Error{TooLarge, fmt.Errorf("unzipped size must be smaller than %d bytes", MaxBytes)}
	}
	return nil
}

// Zip unpacks an archive of size bytes into the directory, which exists. Later archives win, file by file.
func Zip(source io.ReaderAt, size int64, directory string, budget *Budget) error {
	archive, err := zip.NewReader(source, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return invalid("could not read the zip archive: %w", err)
	}
	if budget.entries.Add(-int64(len(archive.File))) < 0 {
		return &Error{TooLarge, fmt.Errorf("the archive has more than %d entries", MaxEntries)}
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	u := &unpacker{root: root, budget: budget, made: map[string]bool{".": true}}
	files, err := u.prepare(archive.File)
	if err != nil {
		return err
	}
	workers := 1
	if size >= parallelFrom {
		workers = min(runtime.NumCPU(), 8)
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(workers))
	}
	if err := u.writeAll(files, workers); err != nil {
		return err
	}
	return u.links(archive.File)
}

type unpacker struct {
	root   *os.Root
	budget *Budget
	made   map[string]bool
	last   map[string]*zip.File // of entries with one name, the last wins
}

// prepare checks every name and makes the directories; it returns the regular files, of one name only the last.
func (u *unpacker) prepare(entries []*zip.File) ([]*zip.File, error) {
	last := make(map[string]*zip.File, len(entries))
	u.last = last
	var names []string
	for _, entry := range entries {
		name, err := check(entry)
		if err != nil {
			return nil, err
		}
		switch {
		case isDirectory(entry):
			if err := u.directory(name, permissions(entry)); err != nil {
				return nil, err
			}
		default:
			if err := u.directory(path.Dir(name), 0o755); err != nil {
				return nil, err
			}
			if last[name] == nil {
				names = append(names, name)
			}
			last[name] = entry
		}
	}
	files := make([]*zip.File, 0, len(names))
	for _, name := range names {
		if !isLink(last[name]) {
			files = append(files, last[name])
		}
	}
	return files, nil
}

// check returns the cleaned name of an entry that may be unpacked.
func check(entry *zip.File) (string, error) {
	if strings.ContainsRune(entry.Name, 0) || !filepath.IsLocal(entry.Name) {
		return "", invalid("the entry %q leads out of the directory", entry.Name)
	}
	if entry.Flags&1 != 0 {
		return "", invalid("the entry %q is encrypted", entry.Name)
	}
	kind := unixMode(entry) & unixType
	if kind != 0 && kind != unixRegular && kind != unixDirectory && kind != unixLink {
		return "", invalid("the entry %q is a special file", entry.Name)
	}
	return path.Clean(entry.Name), nil
}

// directory makes a directory and its parents; a link in the way that leads outside is refused by os.Root.
func (u *unpacker) directory(name string, mode fs.FileMode) error {
	if u.made[name] {
		return nil
	}
	if err := u.root.MkdirAll(name, 0o755); err != nil {
		return invalid("could not make the directory %q: %w", name, err)
	}
	if mode|0o700 != 0o755 {
		_ = u.root.Chmod(name, mode|0o700)
	}
	u.made[name] = true
	return nil
}

func (u *unpacker) writeAll(files []*zip.File, workers int) error {
	if workers == 1 {
		buffer := make([]byte, 64<<10)
		for _, file := range files {
			if err := u.write(file, buffer); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64
	results := make(chan error, workers)
	var stop atomic.Bool
	for range workers {
		go func() {
			buffer := make([]byte, 64<<10)
			for i := next.Add(1) - 1; i < int64(len(files)) && !stop.Load(); i = next.Add(1) - 1 {
				if err := u.write(files[i], buffer); err != nil {
					stop.Store(true)
					results <- err
					return
				}
			}
			results <- nil
		}()
	}
	var first error
	for range workers {
		if err := <-results; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (u *unpacker) write(entry *zip.File, buffer []byte) error {
	name := path.Clean(entry.Name)
	mode := permissions(entry)
	content, err := entry.Open()
	if err != nil {
		return invalid("could not read %q: %w", entry.Name, err)
	}
	defer func() { _ = content.Close() }()
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	file, err := u.root.OpenFile(name, flags, mode|0o200)
	if errors.Is(err, fs.ErrExist) { // of an earlier layer: never write through it, it could be a link
		if err := u.root.Remove(name); err != nil {
			return invalid("could not replace %q: %w", entry.Name, err)
		}
		file, err = u.root.OpenFile(name, flags, mode|0o200)
	}
	if err != nil {
		return invalid("could not write %q: %w", entry.Name, err)
	}
	_, err = io.CopyBuffer(onlyWriter{&metered{file, u.budget}}, content, buffer)
	if err == nil && mode&^0o755 != 0 || mode&0o200 == 0 {
		_ = file.Chmod(mode) // the umask took bits away, or init's own write bit must go
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	var refused *Error
	if err != nil && !errors.As(err, &refused) {
		return invalid("could not unpack %q: %w", entry.Name, err)
	}
	return err
}

// links makes the symbolic links last, when no file can be written through them any more.
func (u *unpacker) links(entries []*zip.File) error {
	for _, entry := range entries {
		name := path.Clean(entry.Name)
		if !isLink(entry) || u.last[name] != entry {
			continue
		}
		target, err := linkTarget(entry)
		if err != nil {
			return err
		}
		if path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(name), target)) {
			return invalid("the link %q leads out of the directory", entry.Name)
		}
		_ = u.root.Remove(name)
		if err := u.root.Symlink(target, name); err != nil {
			return invalid("could not make the link %q: %w", entry.Name, err)
		}
		if _, err := u.root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !isLoop(err) {
			return invalid("the link %q leads out of the directory", entry.Name)
		}
	}
	return nil
}

func linkTarget(entry *zip.File) (string, error) {
	content, err := entry.Open()
	if err != nil {
		return "", invalid("could not read %q: %w", entry.Name, err)
	}
	defer func() { _ = content.Close() }()
	target, err := io.ReadAll(io.LimitReader(content, maxLink+1))
	if err != nil || len(target) == 0 || len(target) > maxLink || strings.ContainsRune(string(target), 0) {
		return "", invalid("the link %q has no usable target", entry.Name)
	}
	return string(target), nil
}
