// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"strings"
	"testing"
)

// A fresh machine downloads modules while go lists packages, and says so.
func TestAnswerIsWithoutRemarks(t *testing.T) {
	got, err := answer(context.Background(), "sh", "-c", "echo downloading >&2; echo ./pkg/ns")
	if err != nil || got != "./pkg/ns\n" {
		t.Errorf("answer() = %q, %v", got, err)
	}
}

func TestAnswerSaysWhy(t *testing.T) {
	_, err := answer(context.Background(), "sh", "-c", "echo no such pattern >&2; exit 1")
	if err == nil || !strings.Contains(err.Error(), "no such pattern") {
		t.Errorf("error is %v", err)
	}
}
