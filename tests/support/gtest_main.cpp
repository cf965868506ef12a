// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// main of every test binary. Its last line is what CI and people read; a run that ran nothing is a
// failure, since a filter or a build that lost its tests must not look green.
#include <cstdio>

#include <gtest/gtest.h>

int main(int argc, char **argv)
{
	testing::InitGoogleTest(&argc, argv);
	const int result = RUN_ALL_TESTS();
	if (GTEST_FLAG_GET(list_tests))
		return result;

	const testing::UnitTest &unit = *testing::UnitTest::GetInstance();
	const int passed = unit.successful_test_count();
	const int failed = unit.failed_test_count();
	if (passed + failed == 0)
		std::printf("no test ran\n");
	std::printf("%d passed, %d failed, %d skipped\n", passed, failed,
		    unit.skipped_test_count());
	return result != 0 || failed > 0 || passed + failed == 0;
}
