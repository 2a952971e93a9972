/* faults: a process that dies in the middle of what it does to its files, at a place of the test's
 * choice. */
#ifndef FAULTS_H
#define FAULTS_H

/* From now on SQLite's n-th (from 1) call in this process that changes a file, or makes a change
 * durable, is its last: a write puts half of its bytes there, then the process is killed (SIGKILL).
 * 0: never. To be called once, before any file is open. */
void faults_kill_at(unsigned n);

#endif
