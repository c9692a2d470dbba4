/*
 * A PKCS#11 library that stands before another one, counts calls and does what it is told.
 *
 * FAULT_TOKEN_LIBRARY  the library behind it
 * FAULT_TOKEN_CALLS    a file that gets a line with the name of each call of the functions below, and another one,
 *                      "NAME waits", where a call begins to wait
 * FAULT_TOKEN_ORDER    a file with one order, read at each call: "NAME ACTION NUMBER"
 *
 * ACTION   delay    waits NUMBER milliseconds, then goes on
 *          block    waits until the order is another one, then goes on
 *          late     goes on, and then waits until the order is another one: it happened, but nobody was told
 *          fail     does nothing and gives the result NUMBER
 *          corrupt  goes on, and spoils what came of it: a signature has a bit flipped, CKA_EXTRACTABLE becomes true
 *          flags    C_GetTokenInfo: adds NUMBER to the flags
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong;
typedef ulong (*function)(void *, void *, void *, void *, void *, void *, void *, void *);
struct table {
    unsigned char version[2];
    void *functions[68];
};
struct attribute {
    ulong type;
    void *value;
    ulong size;
};
enum { GET_TOKEN_INFO = 6, OPEN_SESSION = 12, CLOSE_SESSION = 13, LOGIN = 18, DESTROY = 22, GET_ATTRIBUTE = 24,
       SIGN = 43, GENERATE_PAIR = 59 };

static struct table own, *real;

static void note(const char *name, const char *word)
{
    char line[80];
    int fd = open(getenv("FAULT_TOKEN_CALLS"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int size = snprintf(line, sizeof line, "%s%s\n", name, word);
    if (fd < 0 || write(fd, line, size) != size)
        abort();
    close(fd);
}

static void read_order(char *order, size_t size)
{
    int fd = open(getenv("FAULT_TOKEN_ORDER"), O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, order, size - 1);
    order[got < 0 ? 0 : got] = 0;
    if (fd >= 0)
        close(fd);
}

static void wait_for_another(const char *name, const char *order)
{
    char now[120];
    note(name, " waits");
    do {
        usleep(1000);
        read_order(now, sizeof now);
    } while (strcmp(now, order) == 0);
}

static void spoil(int place, void **a, const char *action, ulong number)
{
    if (place == SIGN && !strcmp(action, "corrupt") && a[3])
        ((unsigned char *)a[3])[5] ^= 1;
    if (place == GET_ATTRIBUTE && !strcmp(action, "corrupt")) {
        struct attribute *row = a[2];
        if (row->type == 0x162 && row->value && row->size == 1)
            *(unsigned char *)row->value = 1;
    }
    if (place == GET_TOKEN_INFO && !strcmp(action, "flags"))
        *(ulong *)((char *)a[1] + 96) |= number;
}

static ulong meet(int place, const char *name, void **a)
{
    char order[120], whom[40] = "", action[20] = "";
    ulong number = 0, result;
    note(name, "");
    read_order(order, sizeof order);
    if (sscanf(order, "%39s %19s %li", whom, action, (long *)&number) < 2 || strcmp(whom, name))
        action[0] = 0;
    if (!strcmp(action, "delay"))
        usleep(number * 1000);
    if (!strcmp(action, "block"))
        wait_for_another(name, order);
    if (!strcmp(action, "fail"))
        return number;
    result = ((function)real->functions[place])(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
    if (!strcmp(action, "late"))
        wait_for_another(name, order);
    if (result == 0)
        spoil(place, a, action, number);
    return result;
}

/* Arguments are words on every machine this is for, and a function ignores those that it has not. */
#define BEFORE(place, name) \
    static ulong before_##name(void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h) \
    { \
        void *arguments[] = {a, b, c, d, e, f, g, h}; \
        return meet(place, #name, arguments); \
    }
BEFORE(GET_TOKEN_INFO, C_GetTokenInfo)
BEFORE(OPEN_SESSION, C_OpenSession)
BEFORE(CLOSE_SESSION, C_CloseSession)
BEFORE(LOGIN, C_Login)
BEFORE(DESTROY, C_DestroyObject)
BEFORE(GET_ATTRIBUTE, C_GetAttributeValue)
BEFORE(SIGN, C_Sign)
BEFORE(GENERATE_PAIR, C_GenerateKeyPair)

static ulong give_list(struct table **list)
{
    *list = &own;
    return 0;
}

ulong C_GetFunctionList(struct table **list)
{
    void *library = dlopen(getenv("FAULT_TOKEN_LIBRARY"), RTLD_NOW);
    ulong (*get)(struct table **) = library ? (ulong (*)(struct table **))dlsym(library, "C_GetFunctionList") : 0;
    if (!get || get(&real))
        return 5;
    own = *real;
    own.functions[3] = give_list;
    own.functions[GET_TOKEN_INFO] = before_C_GetTokenInfo;
    own.functions[OPEN_SESSION] = before_C_OpenSession;
    own.functions[CLOSE_SESSION] = before_C_CloseSession;
    own.functions[LOGIN] = before_C_Login;
    own.functions[DESTROY] = before_C_DestroyObject;
    own.functions[GET_ATTRIBUTE] = before_C_GetAttributeValue;
    own.functions[SIGN] = before_C_Sign;
    own.functions[GENERATE_PAIR] = before_C_GenerateKeyPair;
    return give_list(list);
}
