// Package svoykrug is the Go client of Svoy Krug, for internal services and for people who sign in.
//
// The generated messages and stubs are in the packages beside it (svoykrug/users/v1 and so on). [New] gives typed stubs whose calls
// carry a fresh token, the method's own deadline and the caller's language, are repeated where the contract allows, and fail with
// an [*Error].
package svoykrug

// Version is the version of this module, sent as x-client-version.
const Version = "1.1.0"
