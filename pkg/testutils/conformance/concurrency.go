// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

const crowd = 20

// concurrency declares what happens when everybody comes at once, to a host
// that nobody has been to before.
func (m *matrix) concurrency(suite Suite) {
	It(fmt.Sprintf("attaches and detaches %d containers at once", crowd), func() {
		config := m.config("1.1.0")
		var containers []*Container
		for i := range crowd {
			containers = append(containers, m.container(containerID("c%d", i)))
		}
		attachments := make([]Attachment, crowd)
		Expect(inParallel(crowd, func(i int) (err error) {
			attachments[i], err = m.host.attach(containers[i], config)
			return err
		})).To(Succeed())
		expectUniqueAddresses(attachments, suite)
		Expect(inParallel(crowd, func(i int) error {
			return m.host.detach(containers[i], config)
		})).To(Succeed())
		m.expectNothingLeft(containers...)
	})

	It("is first on a host together with others", func() {
		m.host = m.newHost()
		config := m.config("1.1.0")
		var containers []*Container
		for i := range 4 {
			containers = append(containers, m.container(containerID("c%d", i)))
		}
		Expect(inParallel(len(containers), func(i int) error {
			_, err := m.host.attach(containers[i], config)
			return err
		})).To(Succeed())
		Expect(inParallel(len(containers), func(i int) error { return m.host.detach(containers[i], config) })).To(Succeed())
		m.hostClean = snapshot(m.host)
		Expect(m.host.warmUp(config)).To(Succeed())
		m.expectNothingLeft(containers...)
	})
}

// inParallel runs fn for 0 to n-1 at once and joins the errors.
func inParallel(n int, fn func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := fn(i); err != nil {
				errs[i] = fmt.Errorf("%d: %w", i, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func expectUniqueAddresses(attachments []Attachment, suite Suite) {
	GinkgoHelper()
	if !delegatesAtAll(suite) || suite.Layer2 {
		return
	}
	seen := map[string]string{}
	for _, a := range attachments {
		for _, ip := range addressesOf(a.Result) {
			Expect(seen).NotTo(HaveKey(ip), "%s and %s", seen[ip], a.Container.ID)
			seen[ip] = a.Container.ID
		}
	}
	Expect(len(seen)).To(BeNumerically(">=", len(attachments)))
}

func addressesOf(result Object) []string {
	var typed struct {
		IPs []struct{ Address string }
	}
	data, _ := json.Marshal(result) // it came out of JSON
	if err := json.Unmarshal(data, &typed); err != nil {
		return nil
	}
	var all []string
	for _, ip := range typed.IPs {
		all = append(all, ip.Address)
	}
	return all
}
