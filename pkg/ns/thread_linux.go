// SPDX-License-Identifier: Apache-2.0

package ns

import "runtime"

// onThread runs fn on an OS thread that nothing else uses meanwhile and that
// fn may move to another network namespace. It returns when the thread is back
// in its own; should that be impossible the thread is thrown away. fn ends the
// same way here as it did there: by returning, by a panic or by Goexit.
func onThread(fn func() error) error {
	ended := make(chan ending)
	go func() {
		end := ending{how: byGoexit}
		defer func() { ended <- end }()
		runtime.LockOSThread()
		home, err := GetCurrentNS()
		if err != nil {
			end = ending{how: byReturn, err: err}
			return
		}
		defer comeBack(home)
		end.of(fn)
	}()
	return (<-ended).repeat()
}

// comeBack releases the thread if it can be moved to home. A thread that is
// still locked when its goroutine ends is destroyed by the Go runtime.
func comeBack(home NetNS) {
	if err := home.Set(); err == nil {
		runtime.UnlockOSThread()
	}
	home.Close()
}

// ending is how a function ended.
type ending struct {
	how   endingKind
	err   error
	panic any
}

type endingKind int

const (
	byReturn endingKind = iota
	byPanic
	byGoexit
)

// of runs fn and notes how it ends. Goexit, which testing's FailNow uses, does
// not let of return, so it has to be noted beforehand.
func (e *ending) of(fn func() error) {
	defer func() {
		if value := recover(); value != nil {
			*e = ending{how: byPanic, panic: value}
		}
	}()
	err := fn()
	*e = ending{how: byReturn, err: err}
}

// repeat ends the calling goroutine's function in the same way.
func (e ending) repeat() error {
	switch e.how {
	case byPanic:
		panic(e.panic)
	case byGoexit:
		runtime.Goexit()
	}
	return e.err
}
