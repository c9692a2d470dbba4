/* A Modbus server by libmodbus, for the tests: registers that each hold (31 * address + 7) mod 65536.
 *
 * libmodbus_server tcp PORT REGISTERS          one connection at a time on 127.0.0.1; port 0 picks a free one
 * libmodbus_server rtu DEVICE REGISTERS UNIT   115200 baud, 8N1
 *
 * Lines "FC ADDRESS WORD" (numbers in any C notation) on standard input replace register contents, up to "go".
 * Then the port is printed. Addresses from REGISTERS on are refused with exception 2. Ends with its input.
 */
#include <arpa/inet.h>
#include <modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

static modbus_mapping_t *registers(int count)
{
    modbus_mapping_t *map = modbus_mapping_new(0, 0, count, count);
    char line[256];
    if (map == NULL)
        exit(3);
    for (int at = 0; at < count; at++)
        map->tab_registers[at] = map->tab_input_registers[at] = (uint16_t)(31 * at + 7);
    while (fgets(line, sizeof line, stdin) != NULL && strncmp(line, "go", 2) != 0) {
        char *rest = line;
        long fc = strtol(rest, &rest, 0), at = strtol(rest, &rest, 0), word = strtol(rest, &rest, 0);
        if (at < 0 || at >= count)
            exit(2);
        (fc == 3 ? map->tab_registers : map->tab_input_registers)[at] = (uint16_t)word;
    }
    return map;
}

static void serve(modbus_t *ctx, modbus_mapping_t *map)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        int size = modbus_receive(ctx, query);
        if (size > 0)
            modbus_reply(ctx, query, size, map);
        else if (size == -1 && ctx != NULL && modbus_get_header_length(ctx) == 7)
            return; /* the TCP client is gone; a serial line goes on after noise */
    }
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    modbus_mapping_t *map = registers(atoi(argv[3]));
    if (strcmp(argv[1], "rtu") == 0) {
        modbus_t *ctx = modbus_new_rtu(argv[2], 115200, 'N', 8, 1);
        if (ctx == NULL || modbus_set_slave(ctx, atoi(argv[4])) == -1 || modbus_connect(ctx) == -1)
            return 3;
        puts("0");
        fflush(stdout);
        serve(ctx, map);
    }
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", atoi(argv[2]));
    int listener = modbus_tcp_listen(ctx, 4);
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    if (listener == -1 || getsockname(listener, (struct sockaddr *)&bound, &size) == -1)
        return 3;
    printf("%d\n", ntohs(bound.sin_port));
    fflush(stdout);
    while (modbus_tcp_accept(ctx, &listener) != -1) {
        serve(ctx, map);
        modbus_close(ctx);
    }
    return 0;
}
