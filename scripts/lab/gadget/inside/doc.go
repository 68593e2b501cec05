// Package inside has the tests that run within a guest of the gadget lab; package gadget builds them and boots the guest. Their names say
// to which group they belong, and each group is a boot: TestBed, TestLink, TestLife, TestCrash, TestWear. Nothing is skipped there.
package inside
