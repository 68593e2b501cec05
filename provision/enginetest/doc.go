// Package enginetest is what every planner and every resource has to pass, and the
// engine itself first of all.
//
//   - Resource: a sort of state keeps the contract of provision.Resource.
//   - Planner: what a planner desires can be applied, applied again for nothing,
//     pruned want by want, reverted, and interrupted at every effect.
//   - Kill: the same with a real SIGKILL at every effect.
//   - Soak: random machines with awkward truths, random starts and goals, a failure
//     before and after every effect and a crash at every effect.
//   - PowerCut: the state directory's writes, cut at every point.
//   - Injector: faults for an engine over real resources.
//
// An apply always has to end at its goal or at its start.
package enginetest
