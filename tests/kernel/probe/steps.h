/* Steps that many attempts share; each works on attempt->path. */
#ifndef STEPS_H
#define STEPS_H

#include "probe.h"

void step_visible(const struct attempt *);   /* exists and is not empty */
void step_readable(const struct attempt *);  /* gives at least one byte, or an entry when it is a directory */
void step_openable(const struct attempt *);  /* opens for reading; nothing is read */
void step_writable(const struct attempt *);  /* opens for writing; nothing is written */
void step_creatable(const struct attempt *); /* a file can be made in the directory; removed at once */
void step_makes_dir(const struct attempt *); /* a directory can be made in it; removed at once */
void step_connects(const struct attempt *);  /* a listening unix socket is at the path */
void step_exists(const struct attempt *);    /* a name is there at all; not opened (a watchdog starts when opened) */
void step_device(const struct attempt *);    /* a device node is there and opens */

#endif
