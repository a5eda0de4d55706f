// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

const pauseImage = "localhost/pause:e2e"

// pauseArchive makes an OCI image of the pause program alone, as a file that runtimes import.
func pauseArchive(t testing.TB) string {
	t.Helper()
	binary, err := os.ReadFile(program("pause"))
	if err != nil {
		t.Fatal(err)
	}
	layer := tarball(t, map[string][]byte{"pause": binary})
	image := &imageArchive{t: t, files: map[string][]byte{}}
	config := image.blob("application/vnd.oci.image.config.v1+json", marshal(t, object{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": object{"Entrypoint": []string{"/pause"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{digest(layer)}},
	}))
	manifest := image.blob("application/vnd.oci.image.manifest.v1+json", marshal(t, object{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": config, "layers": []object{image.blob("application/vnd.oci.image.layer.v1.tar", layer)},
	}))
	manifest["annotations"] = object{"io.containerd.image.name": pauseImage}
	image.files["index.json"] = marshal(t, object{"schemaVersion": 2, "manifests": []object{manifest}})
	image.files["oci-layout"] = marshal(t, object{"imageLayoutVersion": "1.0.0"})

	file := filepath.Join(t.TempDir(), "pause.tar")
	if err := os.WriteFile(file, tarball(t, image.files), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// imageArchive gathers the files of an OCI image layout.
type imageArchive struct {
	t     testing.TB
	files map[string][]byte
}

// blob keeps content under its digest and returns the descriptor.
func (i *imageArchive) blob(mediaType string, content []byte) object {
	sum := digest(content)
	i.files["blobs/sha256/"+sum[len("sha256:"):]] = content
	return object{"mediaType": mediaType, "digest": sum, "size": len(content)}
}

func digest(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

func marshal(t testing.TB, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func tarball(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for name, content := range files {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}
