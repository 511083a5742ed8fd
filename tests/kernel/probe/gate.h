/* The gate: whether a system call passes the seccomp filters that are in force, without ever making the call. */
#ifndef GATE_H
#define GATE_H

#include "probe.h"

enum abi { X86_64, I386, X32 };

/* Puts a filter of our own on this process that answers every call carrying GATE_MARK as its sixth argument by
 * SECCOMP_RET_TRACE: without a tracer that is ENOSYS, and the call does not run. The kernel takes the strictest answer
 * of all filters, and ERRNO, TRAP and KILL are stricter than TRACE: so ENOSYS says that every other filter allows it.
 * False when a filter cannot be installed here. */
bool gate_install(void);

/* With the gate installed: does any of a few argument patterns pass? */
bool gate_passes(enum abi abi, long number);

/* Makes the call for real with arguments that no kernel accepts; -errno or the answer. */
long call_invalid(enum abi abi, long number);

/* Calls that block, end the process, or do something even with such arguments. */
bool call_is_unsafe(enum abi abi, long number);

long raw_call(enum abi abi, long number, const long arguments[6]);

#endif
