/* LINK: logic/cidr.c */

/*
 * Networks, regions, and the client's address behind proxies.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "logic/cidr.h"


static const char *
find(const logic_cidrs_t *t, const char *addr)
{
    logic_ip_t           ip;
    const logic_cidr_t  *net;

    assert_int_equal(logic_ip_parse(addr, strlen(addr), &ip), 0);
    net = logic_cidrs_find(t, &ip);

    return net != NULL ? net->name : "-";
}


static void
cidr_find(void **state)
{
    char           err[128];
    logic_cidrs_t  t;

    (void) state;

    memset(&t, 0, sizeof(t));

    assert_int_equal(logic_cidrs_add(&t, "10.0.0.0/8, 192.0.2.7", "a", err,
                                     sizeof(err)), 0);
    assert_int_equal(logic_cidrs_add(&t, "10.1.0.0/16  2001:db8::/32", "b",
                                     err, sizeof(err)), 0);
    assert_int_equal(logic_cidrs_add(&t, "10.1.2.3/32,::1", "c", err,
                                     sizeof(err)), 0);
    assert_int_equal(logic_cidrs_add(&t, "", "d", err, sizeof(err)), 0);
    assert_int_equal(logic_cidrs_sort(&t, err, sizeof(err)), 0);

    assert_string_equal(find(&t, "10.9.9.9"), "a");
    assert_string_equal(find(&t, "10.1.9.9"), "b");
    assert_string_equal(find(&t, "10.1.2.3"), "c");
    assert_string_equal(find(&t, "::ffff:10.1.2.3"), "c");
    assert_string_equal(find(&t, "192.0.2.7"), "a");
    assert_string_equal(find(&t, "192.0.2.8"), "-");
    assert_string_equal(find(&t, "2001:db8:1::5"), "b");
    assert_string_equal(find(&t, "2001:db9::5"), "-");
    assert_string_equal(find(&t, "::1"), "c");
    assert_string_equal(find(&t, "11.0.0.0"), "-");

    free(t.nets);

    /* everything, and nothing */

    memset(&t, 0, sizeof(t));
    assert_int_equal(logic_cidrs_sort(&t, err, sizeof(err)), 0);
    assert_string_equal(find(&t, "10.9.9.9"), "-");

    assert_int_equal(logic_cidrs_add(&t, "0.0.0.0/0", "v4", err,
                                     sizeof(err)), 0);
    assert_int_equal(logic_cidrs_add(&t, "::/0", "v6", err, sizeof(err)), 0);
    assert_int_equal(logic_cidrs_sort(&t, err, sizeof(err)), 0);
    assert_string_equal(find(&t, "10.9.9.9"), "v4");
    assert_string_equal(find(&t, "2001::"), "v6");

    free(t.nets);
}


static void
cidr_wrong(void **state)
{
    char           err[128];
    size_t         i;
    logic_cidrs_t  t;

    static const char *wrong[] = {
        "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/-1", "10.0.0",
        "::/129", "x", "10.0.0.0/1000", "10.0.0.1:80",
        "1111111111111111111111111111111111111111111111111111111/8", NULL
    };

    (void) state;

    memset(&t, 0, sizeof(t));

    for (i = 0; wrong[i] != NULL; i++) {
        assert_int_equal(logic_cidrs_add(&t, wrong[i], "a", err,
                                         sizeof(err)), -1);
        assert_non_null(strstr(err, "is not a network"));
    }

    /* a network has one name */

    assert_int_equal(logic_cidrs_add(&t, "10.0.0.0/8", "a", err,
                                     sizeof(err)), 0);
    assert_int_equal(logic_cidrs_add(&t, "10.2.3.4/8", "b", err,
                                     sizeof(err)), 0);
    assert_int_equal(logic_cidrs_sort(&t, err, sizeof(err)), -1);

    free(t.nets);
}


static const char *
client(const logic_cidrs_t *trusted, const char *peer, const char *forwarded)
{
    logic_ip_t  ip;

    static char  text[INET6_ADDRSTRLEN];

    if (logic_client_ip(trusted, peer, forwarded, &ip) != 0) {
        return "none";
    }

    inet_ntop(AF_INET6, ip.b, text, sizeof(text));

    return strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text;
}


static void
client_address(void **state)
{
    char           err[128];
    logic_cidrs_t  t, none;

    (void) state;

    memset(&t, 0, sizeof(t));
    memset(&none, 0, sizeof(none));

    assert_int_equal(logic_cidrs_add(&t, "127.0.0.1 10.0.0.0/8", "", err,
                                     sizeof(err)), 0);
    assert_int_equal(logic_cidrs_sort(&t, err, sizeof(err)), 0);
    assert_int_equal(logic_cidrs_sort(&none, err, sizeof(err)), 0);

    /* whoever is not trusted is the client, whatever it says */

    assert_string_equal(client(&none, "127.0.0.1", "192.0.2.1"),
                        "127.0.0.1");
    assert_string_equal(client(&t, "198.51.100.1", "192.0.2.1"),
                        "198.51.100.1");

    assert_string_equal(client(&t, "127.0.0.1", NULL), "127.0.0.1");
    assert_string_equal(client(&t, "127.0.0.1", ""), "127.0.0.1");
    assert_string_equal(client(&t, "127.0.0.1", "192.0.2.1"), "192.0.2.1");
    assert_string_equal(client(&t, "127.0.0.1", " 192.0.2.1 "),
                        "192.0.2.1");

    /* what the client itself wrote stands to the left */

    assert_string_equal(client(&t, "127.0.0.1",
                               "203.0.113.9, 192.0.2.1, 10.0.0.5"),
                        "192.0.2.1");
    assert_string_equal(client(&t, "127.0.0.1", "10.0.0.4,10.0.0.5"),
                        "10.0.0.4");
    assert_string_equal(client(&t, "127.0.0.1", "junk, 10.0.0.5"),
                        "10.0.0.5");
    assert_string_equal(client(&t, "127.0.0.1", "192.0.2.1:8080"),
                        "192.0.2.1");
    assert_string_equal(client(&t, "127.0.0.1", "[2001:db8::1]:443"),
                        "2001:db8::1");
    assert_string_equal(client(&t, "127.0.0.1", "2001:db8::1"),
                        "2001:db8::1");
    assert_string_equal(client(&t, "127.0.0.1", ","), "127.0.0.1");
    assert_string_equal(client(&t, "junk", "192.0.2.1"), "none");

    free(t.nets);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cidr_find),
        cmocka_unit_test(cidr_wrong),
        cmocka_unit_test(client_address),
    };

    return cmocka_run_group_tests_name("cidr", tests, NULL, NULL);
}
