/* A leak, put in on purpose: the test passes, and CTest must still see it fail. */
#include <criterion/criterion.h>
#include <stdlib.h>

static void *volatile memory;

Test(planted, leak)
{
    memory = malloc(77);
    cr_assert_not_null(memory);
    memory = NULL;
}
