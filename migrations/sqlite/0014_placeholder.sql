-- Keeps the number for a change that comes from elsewhere; removed when that is here.

SELECT 1;
