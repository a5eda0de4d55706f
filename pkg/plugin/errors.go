// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/undo"
)

// Error codes of the CNI specification 1.1.0 that the library has no name for.
const (
	ErrNotAvailable        uint = 50 // STATUS: the plugin cannot serve ADD
	ErrLimitedConnectivity uint = 51 // STATUS: and existing containers may be affected
)

// WithCode gives err a CNI error code, unless it has one already or is nil.
func WithCode(code uint, err error) error {
	var coded *types.Error
	if err == nil || errors.As(err, &coded) && coded.Code != types.ErrUnknown {
		return err
	}
	return &withCode{code, err}
}

// IOError gives err the code of a failure to read or write, as WithCode.
func IOError(err error) error { return WithCode(types.ErrIOFailure, err) }

// Errorf formats an error with a CNI error code; %w works as in fmt.Errorf.
func Errorf(code uint, format string, args ...any) error {
	return &withCode{code, fmt.Errorf(format, args...)}
}

type withCode struct {
	code uint
	err  error
}

func (w *withCode) Error() string { return w.err.Error() }
func (w *withCode) Unwrap() error { return w.err }

// As makes errors.As find the *types.Error that the runtime will see.
func (w *withCode) As(target any) bool {
	if t, ok := target.(**types.Error); ok {
		*t = types.NewError(w.code, w.Error(), "")
		return true
	}
	return false
}

// edgeError makes of err what leaves the plugin: one *types.Error with the code
// found in err (or defaultCode), the whole text and the plugin's name in front.
// skel would otherwise print the innermost *types.Error and drop what was
// wrapped around it.
func edgeError(name string, defaultCode uint, err error) error {
	if err == nil {
		return nil
	}
	code, text, details := defaultCode, err.Error(), ""
	var coded *types.Error
	if errors.As(err, &coded) {
		if coded.Code != types.ErrUnknown {
			code = coded.Code
		}
		if coded.Details != "" {
			details = coded.Details
			text = strings.Replace(text, "; "+details, "", 1)
		}
	}
	return types.NewError(code, name+": "+oneLine(text), details)
}

// oneLine writes joined errors, which stand on a line each, as one sentence.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "; ")
}

// panicError turns a recovered panic into an error that names the place. A tripped
// undo.Fault is none of ours.
func panicError(value any) error {
	if tripped, ok := value.(undo.Tripped); ok {
		return tripped
	}
	err, ok := value.(error)
	if !ok {
		err = fmt.Errorf("%v", value)
	}
	return Errorf(types.ErrInternal, "internal error, please report it: %w%s", err, panicOrigin())
}

// panicOrigin returns " (file:line)" of the innermost frame that is not the
// runtime's, to be called by the deferred function that recovered.
func panicOrigin() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	panicking := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if panicking && !inRuntime {
			return fmt.Sprintf(" (%s:%d)", frame.File[strings.LastIndex(frame.File, "/")+1:], frame.Line)
		}
		panicking = panicking || inRuntime
		if !more {
			return ""
		}
	}
}
