// Package nstest gives tests network namespaces of their own (Linux).
package nstest
