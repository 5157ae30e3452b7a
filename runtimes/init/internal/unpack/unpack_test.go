package unpack

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type entry struct {
	name    string
	mode    uint32
	content string
	creator uint16
	flags   uint16
}

func file(name, content string) entry {
	return entry{name: name, mode: unixRegular | 0o644, content: content, creator: creatorUnix}
}

func link(name, target string) entry {
	return entry{name: name, mode: unixLink | 0o777, content: target, creator: creatorUnix}
}

func archiveOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		header := &zip.FileHeader{
			Name: e.name, Method: zip.Deflate, ExternalAttrs: e.mode << 16, CreatorVersion: e.creator << 8, Flags: e.flags,
		}
		if strings.HasSuffix(e.name, "/") {
			header.Method = zip.Store
		}
		target, err := w.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := target.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func into(directory string, archive []byte) error {
	return Zip(bytes.NewReader(archive), int64(len(archive)), directory, NewBudget(1<<20, 1000))
}

func TestFilesAndModes(t *testing.T) {
	directory := t.TempDir()
	err := into(directory, archiveOf(
		t, file("a/b/c.py", "one"), entry{name: "run", mode: unixRegular | 0o755, content: "x", creator: creatorUnix},
		entry{name: "set", mode: unixRegular | 0o4711, creator: creatorUnix}, entry{name: "none", creator: creatorUnix},
		entry{name: "empty/", creator: creatorUnix}, entry{name: "windows", mode: 0o600, creator: 0},
		entry{name: "wide", mode: unixRegular | 0o666, creator: creatorUnix},
		entry{name: "locked", mode: unixRegular | 0o444, creator: creatorUnix},
		entry{name: "closed/", mode: unixDirectory | 0o500, creator: creatorUnix},
		file("closed/inside", "x"),
	))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"a/b/c.py": 0o644, "run": 0o755, "set": 0o711, "none": 0o644, "windows": 0o644, "wide": 0o666, "locked": 0o444,
		"empty": 0o755 | fs.ModeDir, "a": 0o755 | fs.ModeDir, "closed": 0o700 | fs.ModeDir, "closed/inside": 0o644,
	} {
		info, err := os.Lstat(filepath.Join(directory, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(directory, "a/b/c.py")); string(text) != "one" {
		t.Errorf("%q", text)
	}
}

func TestLinksWithinTheDirectory(t *testing.T) {
	directory := t.TempDir()
	err := into(directory, archiveOf(
		t, file("lib/x.so.1", "lib"), link("lib/x.so", "x.so.1"), link("current", "./lib"), link("up/x", "../lib/x.so"),
		link("dangling", "later"), link("loop", "loop"),
	))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lib/x.so", "current/x.so", "up/x"} {
		if text, err := os.ReadFile(filepath.Join(directory, name)); string(text) != "lib" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	many := make([]entry, 1001)
	for n := range many {
		many[n] = file(fmt.Sprint(n), "")
	}
	for name, c := range map[string]struct {
		archive []byte
		word    string
	}{
		"not a zip":               {[]byte("plain"), InvalidZip},
		"empty":                   {nil, InvalidZip},
		"parent":                  {archiveOf(t, file("../x", "")), InvalidZip},
		"hidden parent":           {archiveOf(t, file("a/../../x", "")), InvalidZip},
		"absolute":                {archiveOf(t, file("/x", "")), InvalidZip},
		"no name":                 {archiveOf(t, file("", "")), InvalidZip},
		"the directory itself":    {archiveOf(t, file("a/..", "x")), InvalidZip},
		"nul":                     {archiveOf(t, file("a\x00b", "")), InvalidZip},
		"link out":                {archiveOf(t, link("x", "../y")), InvalidZip},
		"link to the root":        {archiveOf(t, link("x", "/etc/passwd")), InvalidZip},
		"link out over a link":    {archiveOf(t, link("a/b", "."), link("x", "a/b/../../../y")), InvalidZip},
		"empty link":              {archiveOf(t, link("x", "")), InvalidZip},
		"file under a link":       {archiveOf(t, link("x", "/tmp"), file("x/y", "")), InvalidZip},
		"device":                  {archiveOf(t, entry{name: "x", mode: 0o020644, creator: creatorUnix}), InvalidZip},
		"fifo":                    {archiveOf(t, entry{name: "x", mode: 0o010644, creator: creatorUnix}), InvalidZip},
		"encrypted":               {archiveOf(t, entry{name: "x", flags: 1, creator: creatorUnix}), InvalidZip},
		"file and directory":      {archiveOf(t, file("x", "1"), file("x/y", "2")), InvalidZip},
		"too many":                {archiveOf(t, many...), TooLarge},
		"too large":               {archiveOf(t, file("x", strings.Repeat("x", 1<<20+1))), TooLarge},
		"too large, all together": {archiveOf(t, file("x", strings.Repeat("x", 1<<19)), file("y", strings.Repeat("x", 1<<19+1))), TooLarge},
	} {
		parent := t.TempDir()
		directory := filepath.Join(parent, "inside")
		_ = os.Mkdir(directory, 0o755)
		err := into(directory, c.archive)
		var refused *Error
		if !errors.As(err, &refused) || refused.Type != c.word {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(parent); len(left) != 1 {
			t.Errorf("%s got out: %v", name, left)
		}
	}
}

func TestACorruptArchive(t *testing.T) {
	archive := archiveOf(t, file("x", strings.Repeat("abc", 1000)))
	archive[40] ^= 0xff
	var refused *Error
	if err := into(t.TempDir(), archive); !errors.As(err, &refused) || refused.Type != InvalidZip {
		t.Error(err)
	}
}

func TestALiarAboutItsSize(t *testing.T) {
	archive := archiveOf(t, file("x", strings.Repeat("x", 4<<20)))
	budget := NewBudget(1000, 10)
	var refused *Error
	if err := Zip(bytes.NewReader(archive), int64(len(archive)), t.TempDir(), budget); !errors.As(err, &refused) || refused.Type != TooLarge {
		t.Error(err)
	}
}

func TestLaterArchivesWin(t *testing.T) {
	directory := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	_ = os.WriteFile(outside, []byte("untouched"), 0o644)
	_ = os.Symlink(outside, filepath.Join(directory, "planted"))
	for _, archive := range [][]byte{
		archiveOf(t, file("both", "first"), file("one", "1"), link("link", "one")),
		archiveOf(t, file("both", "second"), file("both", "third"), file("link", "file now"), file("planted", "new")),
	} {
		if err := into(directory, archive); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"both": "third", "one": "1", "link": "file now", "planted": "new"} {
		if text, _ := os.ReadFile(filepath.Join(directory, name)); string(text) != want {
			t.Errorf("%s is %q", name, text)
		}
	}
	if text, _ := os.ReadFile(outside); string(text) != "untouched" {
		t.Error("written through a link")
	}
}

func TestALargeArchiveInParallel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var entries []entry
	for n := range 200 {
		content := make([]byte, 20<<10)
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		entries = append(entries, file(fmt.Sprintf("d%d/f%d", n%7, n), string(content)))
	}
	archive := archiveOf(t, entries...)
	if len(archive) < parallelFrom {
		t.Fatal("too small to be parallel")
	}
	directory := t.TempDir()
	if err := Zip(bytes.NewReader(archive), int64(len(archive)), directory, NewBudget(MaxBytes, MaxEntries)); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if text, _ := os.ReadFile(filepath.Join(directory, e.name)); string(text) != e.content {
			t.Fatal(e.name)
		}
	}
	if err := Zip(bytes.NewReader(archive), int64(len(archive)), t.TempDir(), NewBudget(1<<20, 1000)); err == nil {
		t.Error("the limit holds for all workers together")
	}
}

func FuzzZip(f *testing.F) {
	f.Add(archiveOf(f, file("a/b", "x"), link("l", "a"), entry{name: "d/", creator: creatorUnix}))
	f.Add(archiveOf(f, link("l", ".."), file("l/x", "y")))
	f.Add(archiveOf(f, file("../x", "y")))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		parent := t.TempDir()
		directory := filepath.Join(parent, "inside")
		_ = os.Mkdir(directory, 0o755)
		_ = into(directory, archive)
		if left, _ := os.ReadDir(parent); len(left) != 1 || left[0].Name() != "inside" {
			t.Fatalf("got out: %v", left)
		}
	})
}

// BenchmarkUnpack compares with one core's inflate of the same archive: 60 MB of what compresses as libraries do.
func BenchmarkUnpack(b *testing.B) {
	archive := libraries(b)
	b.Run("inflate alone", func(b *testing.B) {
		b.SetBytes(int64(len(archive)))
		for range b.N {
			reader, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
			if err != nil {
				b.Fatal(err)
			}
			for _, f := range reader.File {
				content, err := f.Open()
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, content)
			}
		}
	})
	b.Run("unpack", func(b *testing.B) {
		b.SetBytes(int64(len(archive)))
		for range b.N {
			b.StopTimer()
			directory := b.TempDir()
			b.StartTimer()
			if err := Zip(bytes.NewReader(archive), int64(len(archive)), directory, NewBudget(1<<30, 10_000)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// libraries is an archive of 60 MB: 1,500 files, as large as a shared object or as small as a module, of half noise.
func libraries(b *testing.B) []byte {
	b.Helper()
	noise := rand.New(rand.NewPCG(1, 2))
	var entries []entry
	for n := range 1500 {
		size := 8 << 10
		if n%20 == 0 {
			size = 1150 << 10
		}
		content := make([]byte, size)
		for at := 0; at < size; at += 2 {
			content[at] = byte(noise.UintN(256))
		}
		entries = append(entries, file(fmt.Sprintf("package/%d.so", n), string(content)))
	}
	return archiveOf(b, entries...)
}
