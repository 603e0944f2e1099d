// What the engine needs of the outside world, and there is none: a clock that stands still, and memory.
#include "libc.h"

uint64_t input_now_ms;

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
  (void)zone;
  tv->tv_sec = input_now_ms / 1000;
  tv->tv_usec = input_now_ms % 1000 * 1000;
  return 0;
}

int clock_gettime(clockid_t clock, struct timespec *ts) {
  (void)clock;
  ts->tv_sec = input_now_ms / 1000;
  ts->tv_nsec = input_now_ms % 1000 * 1000000;
  return 0;
}

// The time zone is UTC; the tenant's own comes with the call.
struct tm *localtime_r(const time_t *restrict t, struct tm *restrict tm) {
  (void)t;
  memset(tm, 0, sizeof *tm);
  return tm;
}

_Noreturn void abort(void) { __builtin_trap(); }
_Noreturn void __assert_fail(const char *text, const char *file, int line, const char *function) {
  (void)text, (void)file, (void)line, (void)function;
  __builtin_trap();
}

// Nobody reads what a program would print, and the C library's own file would bring functions with it: the table of
// functions must stay within one page.
unsigned char __stderr_FILE[256];
int printf(const char *restrict format, ...) { (void)format; return 0; }
int fprintf(FILE *restrict file, const char *restrict format, ...) { (void)file, (void)format; return 0; }

// The last functions of the C library that would ask WASI.
#define NOBODY(name, ...) int __imported_wasi_snapshot_preview1_##name(__VA_ARGS__) { return 8; }
NOBODY(fd_write, int a, int b, int c, int d)
NOBODY(fd_close, int a)
NOBODY(fd_seek, int a, long long b, int c, int d)
NOBODY(clock_time_get, int a, long long b, int c)

// Memory. A block is a head of 8 bytes and a body at a multiple of 16. Freed blocks go to the list of their size
// class: 16, 32 ... 512, then four classes for each doubling. New ones come from behind the data, inside the initial
// memory; growing it makes all threads of the service wait for each other, so that comes last.
enum { HEAD = 8, SMALL = 512, CLASSES = 32 + 4 * 23, PAGE = 65536, GROWTH = 16 };

typedef struct block {
  uint32_t class, size;
  struct block *next[];
} block;

extern unsigned char __heap_base;
static block *spare[CLASSES];
static uintptr_t top, end;

static uint32_t class_of(size_t n, uint32_t *size) {
  if (n <= SMALL) {
    uint32_t class = n ? (n - 1) >> 4 : 0;
    *size = (class + 1) << 4;
    return class;
  }
  uint32_t shift = 29 - __builtin_clz((uint32_t)(n - 1)); // a quarter of the doubling
  uint32_t quarter = (n - 1) >> shift;                    // 4 to 7
  *size = (quarter + 1) << shift;
  return 32 + (shift - 7) * 4 + (quarter - 4);
}

static bool grow(uintptr_t to) {
  uintptr_t need = (to - end + PAGE - 1) / PAGE, pages = need < GROWTH ? GROWTH : need;
  if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) {
    // Near the limit a little may still be had.
    if (pages == need || __builtin_wasm_memory_grow(0, need) == (size_t)-1) return false;
    pages = need;
  }
  end += pages * PAGE;
  return true;
}

void *malloc(size_t n) {
  if (n > 0x70000000) return NULL;
  uint32_t size, class = class_of(n, &size);
  block *b = spare[class];
  if (b) {
    spare[class] = b->next[0];
    return b->next;
  }
  if (!top) {
    top = (((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15) + HEAD;
    end = __builtin_wasm_memory_size(0) * PAGE;
  }
  uintptr_t to = top + HEAD + size;
  if (to < top || (to > end && !grow(to))) {
    errno = ENOMEM;
    return NULL;
  }
  b = (block *)top;
  top = to + HEAD; // so that the next body lies at a multiple of 16
  b->class = class;
  b->size = size;
  return b->next;
}

static block *head(void *body) { return (block *)((char *)body - HEAD); }

void free(void *body) {
  if (!body) return;
  block *b = head(body);
  b->next[0] = spare[b->class];
  spare[b->class] = b;
}

void *calloc(size_t n, size_t m) {
  size_t size;
  if (__builtin_mul_overflow(n, m, &size)) return NULL;
  void *body = malloc(size);
  if (body) memset(body, 0, size);
  return body;
}

size_t malloc_usable_size(void *body) { return body ? head(body)->size : 0; }

void *realloc(void *body, size_t n) {
  if (!body) return malloc(n);
  block *b = head(body);
  if (n <= b->size) return body;
  void *larger = malloc(n);
  if (larger) {
    memcpy(larger, body, b->size);
    free(body);
  }
  return larger;
}
