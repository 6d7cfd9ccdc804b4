// Package configsync makes the configs of an agent's store equal to the files of a directory.
//
// It owns reading the directory, deciding what differs (a pure function: MakePlan), the guards
// against deleting by accident, and telling what is done. It refuses to own HTTP (Service) and the
// command line.
//
// A file that can't be read or is not valid never costs its stored config: the config stays as it
// is and the run fails. Nothing is written before the whole plan is known. Writes are conditional
// on what was listed, so that two people who sync at once don't overwrite each other.
//
// Run uploads several files at a time, and tells of them in their order. Tests run it against web
// over httptest, and the plan in tables.
package configsync
