// Package walks does what the pages of the guide say, command by command as they stand there, on machines that are as the page's
// reader has them. Its tests need the build tag lab, Linux and root.
package walks
