/*
 * Names of request headers that may be passed on to the application.
 */

#ifndef _GOIM_HEADER_H_INCLUDED_
#define _GOIM_HEADER_H_INCLUDED_

#include <stddef.h>


/*
 * Whether a header of that name, a token of RFC 7230 and not too long, means
 * nothing in a request to the application but what it says: it is not about a
 * connection or a body, nor one of those that logic sets (X-Goim-Server ...).
 */
int goim_header_passes(const char *name, size_t len);


#endif /* _GOIM_HEADER_H_INCLUDED_ */
