// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package tuning is the tuning plugin. It sets kernel parameters of the
// container's network namespace and attributes of its interface.
//
// What it owns on the host is a file for each attachment with the attributes as
// they were before, from which DEL restores them: the interface may be one that
// goes back to the host. Parameters are not restored, they go with the
// namespace.
package tuning

import (
	"context"
	"errors"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/wholefile"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the tuning plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "tuning",
	Versions: version.All,
	Chained:  true,
	Args:     []string{"MAC"},
	Add:      add,
	Check:    checkTuning,
	Del:      del,
	Status:   status,
	GC:       gc,
})

func add(_ context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	parameters, err := c.parameters(req.IfName)
	if err != nil {
		return nil, err
	}
	if err := checkAllowed(parameters); err != nil {
		return nil, err
	}
	if err := writeParameters(req, parameters); err != nil {
		return nil, err
	}
	wanted := c.wanted(req.Args)
	if err := setAttributes(req, c.dataDir(), wanted); err != nil {
		return nil, err
	}
	describe(req, wanted)
	return req.Prev, nil
}

// del restores the attributes that ADD has changed. That the interface does not
// take one of them is no reason to keep the rest of the chain from going on.
func del(_ context.Context, req *plugin.Request, c *Config) error {
	var errs []error
	for _, dir := range c.dataDirs() {
		file := backupFile(dir, req)
		if err := restore(req, file); err != nil {
			plugin.Logf("tuning", "container %s: %v", req.ContainerID, err)
		}
		errs = append(errs, file.remove())
	}
	return errors.Join(errs...)
}

func checkTuning(_ context.Context, req *plugin.Request, c *Config) error {
	parameters, err := c.parameters(req.IfName)
	if err != nil {
		return err
	}
	var report check.Report
	err = req.InNetns(func() error {
		checkParameters(&report, parameters)
		checkAttributes(&report, req.IfName, c.wanted(req.Args))
		return nil
	})
	if err != nil {
		return err
	}
	return report.Err()
}

// status asks what does not depend on the container: may the parameters be set,
// and can the attributes be saved?
func status(_ context.Context, req *plugin.Request, c *Config) error {
	parameters, err := c.parameters(ifNamePlaceholder)
	if err == nil {
		err = notAvailable(checkAllowed(parameters))
	}
	if len(c.wanted(req.Args)) > 0 {
		err = errors.Join(err, wholefile.Writable(c.dataDir()))
	}
	return err
}

// notAvailable gives what an ADD would fail with the code of STATUS. To ADD a
// parameter that is not allowed is a mistake in the configuration.
func notAvailable(err error) error {
	if err == nil {
		return nil
	}
	return plugin.Errorf(plugin.ErrNotAvailable, "%w", err)
}

// gc removes the files of attachments that are no longer valid.
func gc(_ context.Context, _ *plugin.Request, c *Config, valid plugin.Attachments) error {
	var errs []error
	for _, dir := range c.dataDirs() {
		errs = append(errs, removeStaleBackups(dir, valid))
	}
	return errors.Join(errs...)
}
