/* What linux/gpio.h says, for the tests.
 *
 * gpio_layout             sizes, offsets and the number of the ioctl, one "NAME NUMBER" a line
 * gpio_layout request     prints the fields of the gpio_v2_line_request on standard input
 * gpio_layout events      writes two gpio_v2_line_event structures to standard output
 */
#include <linux/gpio.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SIZE(type) printf(#type " %zu\n", sizeof(struct type))
#define AT(type, field) printf(#type "." #field " %zu\n", offsetof(struct type, field))

static int request(void)
{
    struct gpio_v2_line_request asked;
    if (fread(&asked, 1, sizeof asked, stdin) != sizeof asked || getchar() != EOF)
        return 2;
    const struct gpio_v2_line_config_attribute *attr = asked.config.attrs;
    printf("offset %u\nconsumer %.32s\nflags %llu\nnum_attrs %u\n", asked.offsets[0], asked.consumer,
           (unsigned long long)asked.config.flags, asked.config.num_attrs);
    printf("attr_id %u\ndebounce_us %u\nattr_mask %llu\n", attr->attr.id, attr->attr.debounce_period_us,
           (unsigned long long)attr->mask);
    printf("num_lines %u\nbuffer %u\nfd %d\n", asked.num_lines, asked.event_buffer_size, asked.fd);
    unsigned padding = attr->attr.padding;
    for (int at = 0; at < 5; at++)
        padding |= asked.config.padding[at] | asked.padding[at];
    printf("padding %u\n", padding);
    return 0;
}

static int events(void)
{
    struct gpio_v2_line_event told[2];
    memset(told, 0, sizeof told);
    told[0].timestamp_ns = 1234567890123456789ULL;
    told[0].id = GPIO_V2_LINE_EVENT_RISING_EDGE;
    told[0].offset = 17;
    told[0].seqno = 900;
    told[0].line_seqno = 41;
    told[1] = told[0];
    told[1].timestamp_ns += 30000000;
    told[1].id = GPIO_V2_LINE_EVENT_FALLING_EDGE;
    told[1].line_seqno = 42;
    return fwrite(told, sizeof told, 1, stdout) == 1 ? 0 : 2;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return strcmp(argv[1], "request") == 0 ? request() : events();
    SIZE(gpio_v2_line_request);
    SIZE(gpio_v2_line_config);
    SIZE(gpio_v2_line_config_attribute);
    SIZE(gpio_v2_line_event);
    AT(gpio_v2_line_request, consumer);
    AT(gpio_v2_line_request, config);
    AT(gpio_v2_line_request, num_lines);
    AT(gpio_v2_line_request, event_buffer_size);
    AT(gpio_v2_line_request, fd);
    AT(gpio_v2_line_config, num_attrs);
    AT(gpio_v2_line_config, attrs);
    AT(gpio_v2_line_config_attribute, mask);
    AT(gpio_v2_line_event, id);
    AT(gpio_v2_line_event, line_seqno);
    printf("GET_LINE %lu\n", (unsigned long)GPIO_V2_GET_LINE_IOCTL);
    return 0;
}
