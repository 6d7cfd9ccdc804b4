// Package actorstest has what tests of package actors, and of those who embed it, need in place of
// the real world: pipelines that record what is asked of them and fail on demand ([Pipelines]), and
// a source of stored configs that is told what to answer ([Source]). Everything may be used
// concurrently.
package actorstest
