// What every C file of the engine sees first: the C library, and the clock that comes with the input.
#include <alloca.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// Nobody reads what a program would print, and the C library's own files would bring functions with them.
#undef stdout
#define stdout ((FILE *)0)
#undef stderr
#define stderr ((FILE *)0)

// Milliseconds since 1970.
extern uint64_t input_now_ms;
