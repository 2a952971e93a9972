/* views: what the file shows to whoever looks into it with sqlite3. Internal to the store. */
#ifndef STORE_VIEWS_H
#define STORE_VIEWS_H

#include "sqlite.h"

/* Makes the views, or makes them anew when they are another build's; changes nothing when they are
 * there. Nothing depends on them: where they cannot be made, on a full disk say, they are not. */
void views_make(sqlite3 *db);

#endif
