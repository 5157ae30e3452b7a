package assign

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Error is a failure of an assignment with the word that gateways and operator know it by.
type Error struct {
	Type string
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// The words of Error.Type for fetching; package unpack's failures are InvalidZipFile or CodeTooLarge.
const (
	FetchFailed    = "CodeFetchFailed"
	DigestMismatch = "CodeDigestMismatch"
)

// MaxArchive is the largest archive that is fetched: the store takes no larger ones.
const MaxArchive = 300 << 20

const fetchTries = 4

// Archive is a blob at hand, verified.
type Archive struct {
	io.ReaderAt
	Size int64
	file *os.File
}

// Close gives a fetched archive's space back.
func (a Archive) Close() {
	if a.file != nil {
		_ = a.file.Close()
	}
}

// Inline checks an archive that came in the assign frame.
func Inline(body []byte, want Blob) (Archive, error) {
	sum := sha256.Sum256(body)
	if err := match(hex.EncodeToString(sum[:]), want); err != nil {
		return Archive{}, err
	}
	return Archive{ReaderAt: bytes.NewReader(body), Size: int64(len(body))}, nil
}

// Fetch downloads an archive into a nameless file of directory, hashing on the way. A store that is away or that breaks
// off is tried again, wrong bytes are not.
func Fetch(ctx context.Context, client *http.Client, url, directory string, want Blob) (Archive, error) {
	wait := 100 * time.Millisecond
	for try := 1; ; try++ {
		archive, err := fetchOnce(ctx, client, url, directory, want)
		var final *Error
		if err == nil || errors.As(err, &final) {
			return archive, err
		}
		if try == fetchTries || ctx.Err() != nil {
			return Archive{}, &Error{FetchFailed, err}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait *= 4
	}
}

func fetchOnce(ctx context.Context, client *http.Client, url, directory string, want Blob) (Archive, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Archive{}, &Error{FetchFailed, err}
	}
	response, err := client.Do(request)
	if err != nil {
		return Archive{}, withoutQuery(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		err := fmt.Errorf("the store answered %s", response.Status)
		if response.StatusCode < http.StatusInternalServerError {
			return Archive{}, &Error{FetchFailed, err}
		}
		return Archive{}, err
	}
	return save(response.Body, directory, want)
}

func save(body io.Reader, directory string, want Blob) (Archive, error) {
	file, err := os.CreateTemp(directory, ".archive-*")
	if err != nil {
		return Archive{}, &Error{FetchFailed, err}
	}
	_ = os.Remove(file.Name())
	hash := sha256.New()
	buffer := make([]byte, 128<<10)
	size, err := io.CopyBuffer(io.MultiWriter(file, hash), io.LimitReader(body, MaxArchive+1), buffer)
	if err == nil && size > MaxArchive {
		err = &Error{FetchFailed, errors.New("the archive is larger than 300 MiB")}
	}
	if err == nil {
		err = match(hex.EncodeToString(hash.Sum(nil)), want)
	}
	if err != nil {
		_ = file.Close()
		return Archive{}, err
	}
	return Archive{ReaderAt: file, Size: size, file: file}, nil
}

func match(got string, want Blob) error {
	if got != want.SHA256 {
		return &Error{DigestMismatch, fmt.Errorf("sha256 is %s, expected %s", got, want.SHA256)}
	}
	return nil
}

// withoutQuery keeps tickets out of messages: net/http puts the whole URL into its errors.
func withoutQuery(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
